package record

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/gokexec/gokexec/internal/imagetest"
	"github.com/gokexec/gokexec/internal/kexectest"
	"github.com/gokexec/gokexec/pkg/machine"
	"github.com/gokexec/gokexec/pkg/plan"
)

// fill sets every field of a struct to something else than its zero value. Texts have
// more at their end.
func fill(t *testing.T, v reflect.Value, more string) {
	t.Helper()
	for i := range v.NumField() {
		name, f := v.Type().Field(i).Name, v.Field(i)
		switch f.Kind() {
		case reflect.Struct:
			fill(t, f, "")
		case reflect.Bool:
			f.SetBool(true)
		case reflect.String:
			f.SetString("text of " + name + more)
		case reflect.Int:
			f.SetInt(1)
		case reflect.Uint16, reflect.Uint32, reflect.Uint64:
			f.SetUint(uint64(i) + 1)
		case reflect.Slice:
			f.SetBytes([]byte(name))
		case reflect.Pointer:
			path := filepath.Join(t.TempDir(), name+"\xff")
			if err := os.WriteFile(path, []byte("content of "+name), 0o600); err != nil {
				t.Fatal(err)
			}
			f.Set(reflect.ValueOf(plan.FromFile(path)))
		default:
			t.Fatalf("field %s is a %v: teach fill about it", name, f.Kind())
		}
	}
}

// Whatever a Spec holds comes back from the record of its load.
func TestStateKeepsEachFieldOfSpec(t *testing.T) {
	spec := &plan.Spec{}
	fill(t, reflect.ValueOf(spec).Elem(), "\xff\xc3(") // texts and paths are any bytes
	spec.Kind = machine.Crash                          // only crash loads are recorded
	spec.Recipe = []byte(`{"made":["of"]}`)            // it is JSON already
	in, err := plan.Open(spec)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	b, err := json.Marshal(New(&plan.Plan{Spec: in.Spec}))
	if err != nil {
		t.Fatal(err)
	}
	state, err := parseState(b)
	if err != nil {
		t.Fatal(err)
	}
	reopened, err := plan.Open(state.Spec())
	if err != nil {
		t.Fatal(err)
	}
	defer reopened.Close()
	again := reopened.Spec
	was, is := reflect.ValueOf(*in.Spec), reflect.ValueOf(*again)
	for i := range was.NumField() {
		name := was.Type().Field(i).Name
		switch want := was.Field(i).Interface().(type) {
		case json.RawMessage:
			if got := is.Field(i).Bytes(); string(got) != string(want) {
				t.Errorf("%s came back as %s; want %s", name, got, want)
			}
		case *plan.Source:
			got, _ := is.Field(i).Interface().(*plan.Source)
			if got == nil || got.Path != want.Path || !got.Same(want) || got.ID.Inode == 0 {
				t.Errorf("%s came back as %+v; want %+v", name, got, want)
			}
		case []byte: // the seed is another one each time
			if got := is.Field(i).Bytes(); len(got) != plan.SeedSize || string(got) == string(want) {
				t.Errorf("%s came back as %q; want a new seed", name, got)
			}
		default:
			if got := is.Field(i).Interface(); !reflect.DeepEqual(got, want) {
				t.Errorf("%s came back as %+v; want %+v", name, got, want)
			}
		}
	}
	if changed := state.ChangedFiles(again); len(changed) != 0 {
		t.Errorf("changed files %q; want none", changed)
	}
}

// So does all that came of the load.
func TestStateKeepsEachFieldOfResult(t *testing.T) {
	ranges := []CrashMemory{{Start: 4096, End: 8192}}
	want := Result{Method: plan.Segments, Cmdline: "x", Elfcorehdr: 4096, Updated: true, Generation: "g", Memory: Fingerprint{SHA256: "d", Ranges: ranges},
		DiskKeys: []string{"k"}, KeyCount: 2}
	for i, v := 0, reflect.ValueOf(want); i < v.NumField(); i++ {
		if v.Field(i).IsZero() {
			t.Fatalf("%s is not set: set it above", v.Type().Field(i).Name)
		}
	}
	b, err := json.Marshal(&State{Version: Version, Asked: &plan.Spec{Kernel: plan.FromBytes("/k", nil)}, Result: want})
	if err != nil {
		t.Fatal(err)
	}
	if state, err := parseState(b); err != nil || !reflect.DeepEqual(state.Result, want) {
		t.Errorf("the result came back as %+v, %v; want %+v", state, err, want)
	}
}

// The choices are part of the note, so that the same is loaded again.
func TestOptionsNoted(t *testing.T) {
	spec := &plan.Spec{Kind: machine.Crash, Method: plan.Segments, Kernel: plan.FromBytes("kernel", imagetest.SmallBzImage().Bytes())}
	spec.Options = plan.SegmentOptions{MemMin: 0x37000000, MemMax: 0x3dffffff, NoEFI: true, PassMemmap: true}
	p, err := plan.New(kexectest.NewMachine(t).Host("x86_64"), spec)
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(New(p))
	if err != nil {
		t.Fatal(err)
	}
	state, err := parseState(b)
	if err != nil || state.Asked.Options != spec.Options {
		t.Errorf("noted options = %+v, %v; want %+v", state.Asked.Options, err, spec.Options)
	}
}
