module noop

go 1.19

require gridloom v0.0.0

replace gridloom => ../../../sdk/go
