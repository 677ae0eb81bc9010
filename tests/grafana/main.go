// Grafana-dashboards holds dashboards against the schema that Grafana publishes, as its Foundation SDK has it: a field that
// the schema does not know, one that it wants and that is not there, one of another type, a value outside of its bounds, a kind
// of panel that Grafana does not come with. Words of a closed set it does not judge.
//
// Grafana itself takes almost any dashboard, and shows an empty panel in place of what it does not understand.
package main

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/cog/plugins"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
)

func main() {
	if len(os.Args) == 2 && os.Args[1] == "--version" {
		fmt.Println("grafana-dashboards")
		return
	}
	plugins.RegisterDefaultPlugins()
	bad := false
	for _, file := range os.Args[1:] {
		for _, fault := range faults(file) {
			bad = true
			fmt.Printf("%s: %s\n", file, fault)
		}
	}
	if bad {
		os.Exit(1)
	}
}

func faults(file string) (told []string) {
	text, err := os.ReadFile(file)
	if err != nil {
		return []string{err.Error()}
	}
	var strict, board dashboard.Dashboard
	judged := []error{strict.UnmarshalJSONStrict(text), json.Unmarshal(text, &board), board.Validate()}
	for _, err := range judged {
		// Where nothing is wrong it may be an empty list of errors, which is not nil.
		if err != nil && err.Error() != "" {
			told = append(told, err.Error())
		}
	}
	for _, one := range board.Panels {
		if one.Panel == nil {
			continue
		}
		if _, known := cog.ConfigForPanelcfgVariant(one.Panel.Type); !known {
			told = append(told, fmt.Sprintf("no panel is of type %q", one.Panel.Type))
		}
	}
	return told
}
