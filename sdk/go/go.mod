module gridloom

go 1.19
