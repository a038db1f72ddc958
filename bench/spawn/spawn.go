// spawn N: N goroutines that sleep for a second. Prints what spawn.cpp prints.
package main

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

func kilobytes(field string) float64 {
	status, _ := os.ReadFile("/proc/self/status")
	for _, line := range strings.Split(string(status), "\n") {
		if words := strings.Fields(line); len(words) > 1 && words[0] == field {
			n, _ := strconv.ParseFloat(words[1], 64)
			return n
		}
	}
	return 0
}

func main() {
	n, _ := strconv.Atoi(os.Args[1])
	runtime.GOMAXPROCS(1)
	before := kilobytes("VmRSS:")
	var all sync.WaitGroup
	all.Add(n)
	begun := 0
	var started time.Time
	start := time.Now()
	for i := 0; i < n; i++ {
		go func() {
			begun++ // one thread: no race
			if begun == n {
				started = time.Now()
			}
			time.Sleep(time.Second)
			all.Done()
		}()
	}
	all.Wait()
	wall := time.Since(start).Seconds()
	var used syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &used)
	fmt.Println(wall, float64(used.Utime.Nano()+used.Stime.Nano())/1e9,
		(kilobytes("VmHWM:")-before)*1024/float64(n), started.Sub(start).Seconds())
}
