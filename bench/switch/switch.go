// switch N: two goroutines pass N numbers over an unbuffered channel. "2": on as many threads as Go
// likes, else on one.
package main

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"syscall"
	"time"
)

func main() {
	n, _ := strconv.Atoi(os.Args[1])
	if len(os.Args) < 3 {
		runtime.GOMAXPROCS(1)
	}
	c := make(chan int)
	sum := 0
	start := time.Now()
	go func() {
		for i := 0; i < n; i++ {
			c <- i
		}
		close(c)
	}()
	for v := range c {
		sum += v
	}
	wall := time.Since(start).Seconds()
	var used syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &used)
	if sum != n*(n-1)/2 {
		os.Exit(1)
	}
	fmt.Println(wall, float64(used.Utime.Nano()+used.Stime.Nano())/1e9)
}
