module company.example/{{service}}

go 1.19
