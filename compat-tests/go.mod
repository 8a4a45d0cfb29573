module github.com/distributedmq/dmq/compat-tests

go 1.26.0

replace github.com/distributedmq/dmq => ../
