package reservation_test

import (
	"debug/elf"
	"fmt"

	"github.com/gokexec/gokexec/pkg/reservation"
)

// What the default of a distribution reserves on a machine with 16 GiB.
func ExampleParse() {
	v, err := reservation.Parse("2G-64G:256M,64G-:512M")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(v.Size(16<<30)>>20, "MiB")
	// Output: 256 MiB
}

// Where nothing was measured, the default of a distribution is the least.
func ExampleRecommend() {
	m := reservation.Machine{Arch: elf.EM_S390, Release: "6.12.0", Page: 4096, RAM: 16 << 30, Image: 60 << 20, Packed: 4 << 20, Unpacked: 12 << 20}
	for _, word := range reservation.Recommend(m).Words() {
		fmt.Println(word)
	}
	// Output: crashkernel=256M
}
