// The peer of channel_hop.cpp: go run hop.go
package main

import (
	"fmt"
	"runtime"
	"time"
)

func oneWay(capacity, n int) float64 {
	best := 1e9
	for round := 0; round < 30; round++ {
		ch := make(chan int, capacity)
		done := make(chan int)
		start := time.Now()
		go func() {
			for i := 0; i < n; i++ {
				ch <- i
			}
		}()
		go func() {
			sum := 0
			for i := 0; i < n; i++ {
				sum += <-ch
			}
			done <- sum
		}()
		<-done
		best = min(best, float64(time.Since(start).Nanoseconds())/float64(n))
	}
	return best
}

func pingPong(n int) float64 {
	best := 1e9
	for round := 0; round < 30; round++ {
		a, b := make(chan int), make(chan int)
		start := time.Now()
		go func() {
			for i := 0; i < n; i++ {
				b <- <-a
			}
		}()
		for i := 0; i < n; i++ {
			a <- i
			<-b
		}
		best = min(best, float64(time.Since(start).Nanoseconds())/float64(2*n))
	}
	return best
}

func main() {
	runtime.GOMAXPROCS(1)
	fmt.Printf("go, unbuffered, one way      %6.1f ns/hop\n", oneWay(0, 200000))
	fmt.Printf("go, capacity 100, one way    %6.1f ns/hop\n", oneWay(100, 200000))
	fmt.Printf("go, unbuffered, ping-pong    %6.1f ns/hop\n", pingPong(200000))
}
