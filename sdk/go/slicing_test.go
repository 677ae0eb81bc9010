package gridloom

import (
	"encoding/json"
	"os"
	"strconv"
	"strings"
	"testing"
)

// vector is a row of the table in docs/SLICING.md.
type vector struct {
	key        string
	hash       uint64
	of7, of64k int
}

func vectors(t *testing.T) []vector {
	t.Helper()
	page, err := os.ReadFile("../../docs/SLICING.md")
	if err != nil {
		t.Fatal(err)
	}
	var found []vector
	for _, line := range strings.Split(string(page), "\n") {
		if !strings.HasPrefix(line, "| `") {
			continue
		}
		cells := strings.Split(line, "|")[1:5]
		for at := range cells {
			cells[at] = strings.Trim(cells[at], " `")
		}
		var row vector
		var errs [4]error
		errs[0] = json.Unmarshal([]byte(cells[0]), &row.key)
		row.hash, errs[1] = strconv.ParseUint(cells[1], 16, 32)
		row.of7, errs[2] = strconv.Atoi(cells[2])
		row.of64k, errs[3] = strconv.Atoi(cells[3])
		for _, err := range errs {
			if err != nil {
				t.Fatalf("%s: %v", line, err)
			}
		}
		found = append(found, row)
	}
	return found
}

func TestVectorsOfThePageAreOurs(t *testing.T) {
	rows := vectors(t)
	if len(rows) < 8 {
		t.Fatalf("%d rows", len(rows))
	}
	for _, row := range rows {
		if got := SliceOf(row.key, 7); got != row.of7 {
			t.Errorf("%q of 7: %d, not %d", row.key, got, row.of7)
		}
		if got := SliceOf(row.key, 65_536); got != row.of64k {
			t.Errorf("%q of 65,536: %d, not %d", row.key, got, row.of64k)
		}
		const most = 1<<31 - 1
		if got := SliceOf(row.key, most); got != int(row.hash%most) {
			t.Errorf("%q of %d: %d", row.key, most, got)
		}
	}
}

func TestWholeNumberIsHashedAsItsDigits(t *testing.T) {
	if SliceOfInt(-42, 65_536) != SliceOf("-42", 65_536) {
		t.Error("-42 and \"-42\" are of different slices")
	}
}

func TestVersionIsTheSameEverywhere(t *testing.T) {
	manifest, err := os.ReadFile("../../Cargo.toml")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(manifest), "\nversion = \""+Version+"\"") {
		t.Errorf("Cargo.toml has another version than %s", Version)
	}
}
