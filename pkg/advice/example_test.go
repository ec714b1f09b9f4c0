package advice_test

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/gokexec/gokexec/pkg/advice"
)

// An error comes with its remedy, and still is the error that caused it.
func ExampleProblem() {
	err := fmt.Errorf("load: %w", &advice.Problem{What: "/proc/iomem shows no addresses", Hint: "run as root", Err: fs.ErrPermission})
	fmt.Println(err)
	fmt.Println("hint:", advice.Hint(err))
	fmt.Println(errors.Is(err, fs.ErrPermission))
	// Output:
	// load: /proc/iomem shows no addresses
	// hint: run as root
	// true
}
