// Go's net/http: one client, as many goroutines as requests at a time.
package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

func cpu() float64 {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return float64(u.Utime.Sec+u.Stime.Sec) + float64(u.Utime.Usec+u.Stime.Usec)/1e6
}

func main() {
	base := os.Args[1]
	count, _ := strconv.ParseInt(os.Args[2], 10, 64)
	concurrency, _ := strconv.Atoi(os.Args[3])
	client := &http.Client{Transport: &http.Transport{
		MaxIdleConnsPerHost: concurrency, MaxConnsPerHost: concurrency}}
	var next atomic.Int64
	var all sync.WaitGroup
	begun, before := time.Now(), cpu()
	for range make([]struct{}, concurrency) {
		all.Add(1)
		go func() {
			defer all.Done()
			for i := next.Add(1) - 1; i < count; i = next.Add(1) - 1 {
				response, err := client.Get(base + strconv.FormatInt(i, 10))
				if err != nil {
					panic(err)
				}
				body, err := io.ReadAll(response.Body)
				response.Body.Close()
				if err != nil || response.StatusCode != 200 || len(body) != 1024 {
					panic(fmt.Sprint(err, response.StatusCode, len(body)))
				}
			}
		}()
	}
	all.Wait()
	fmt.Printf("%.4f %.4f\n", time.Since(begun).Seconds(), cpu()-before)
}
