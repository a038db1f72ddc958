// server PORT: "hello, world\n" to everybody, in Go, on one thread.
package main

import (
	"io"
	"net/http"
	"os"
	"runtime"
)

func main() {
	runtime.GOMAXPROCS(1)
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		io.WriteString(w, "hello, world\n")
	})
	panic(http.ListenAndServe("127.0.0.1:"+os.Args[1], nil))
}
