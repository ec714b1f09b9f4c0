package pagefilter_test

import (
	"context"
	"fmt"
	"log"
	"os"

	"github.com/gokexec/gokexec/pkg/kdumpfile"
	"github.com/gokexec/gokexec/pkg/pagefilter"
)

// How large the dump of a crashed machine will be at each level.
func ExampleFilter_Survey() {
	file, err := os.Open("/proc/vmcore")
	if err != nil {
		log.Fatal(err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		log.Fatal(err)
	}
	dump, err := kdumpfile.Open(kdumpfile.NewFile(file, 0, info.Size()))
	if err != nil {
		log.Fatal(err)
	}
	filter, err := pagefilter.New(dump, pagefilter.Options{})
	if err != nil {
		log.Fatal(err) // or write all of it
	}
	survey, err := filter.Survey(context.Background(), pagefilter.SurveyOptions{})
	if err != nil {
		log.Fatal(err)
	}
	for level := range pagefilter.MaxLevel + 1 {
		fmt.Printf("level %2d: %d MiB\n", level, survey.KeptAt(level)*survey.PageSize>>20)
	}
	for _, r := range survey.Refused {
		fmt.Printf("pages of class %v are kept: %s\n", r.Class, r.Reason)
	}
}
