// timers cancelled|fired N: the same with time.AfterFunc, on one thread.
package main

import (
	"fmt"
	"math/rand"
	"os"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"time"
)

func main() {
	fire := os.Args[1] == "fired"
	n, _ := strconv.Atoi(os.Args[2])
	runtime.GOMAXPROCS(1)
	order := rand.New(rand.NewSource(1)).Perm(n)
	timers := make([]*time.Timer, n)
	var all sync.WaitGroup
	all.Add(n)
	start := time.Now()
	for i := range timers {
		after := time.Duration(rand.Intn(100000)) * time.Microsecond
		if !fire {
			after += 10 * time.Second
		}
		timers[i] = time.AfterFunc(after, all.Done)
	}
	if fire {
		all.Wait()
	} else {
		for _, i := range order {
			timers[i].Stop()
		}
	}
	wall := time.Since(start).Seconds()
	var used syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &used)
	fmt.Println(wall, float64(used.Utime.Nano()+used.Stime.Nano())/1e9)
}
