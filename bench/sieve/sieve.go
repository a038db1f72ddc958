// sieve N: the first N primes in Go, on one thread.
package main

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"syscall"
	"time"
)

func count(out chan<- int) {
	for n := 2; ; n++ {
		out <- n
	}
}
func filter(prime int, in <-chan int, out chan<- int) {
	for n := range in {
		if n%prime != 0 {
			out <- n
		}
	}
}

func main() {
	primes, _ := strconv.Atoi(os.Args[1])
	runtime.GOMAXPROCS(1)
	start := time.Now()
	in := make(chan int, 10)
	go count(in)
	last := 0
	for ; primes > 0; primes-- {
		last = <-in
		out := make(chan int, 10)
		go filter(last, in, out)
		in = out
	}
	wall := time.Since(start).Seconds()
	var used syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &used)
	if last == 0 {
		os.Exit(1)
	}
	fmt.Println(wall, float64(used.Utime.Nano()+used.Stime.Nano())/1e9)
}
