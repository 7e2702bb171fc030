// The peer in Go: net/http with the routes of the native peer.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"strconv"
)

type order struct {
	ID       uint64 `json:"id"`
	Revision uint32 `json:"revision"`
	Customer struct {
		Name       string `json:"name"`
		Email      string `json:"email"`
		City       string `json:"city"`
		Newsletter bool   `json:"newsletter"`
	} `json:"customer"`
	Lines      []line `json:"lines"`
	TotalCents uint64 `json:"total_cents"`
	Comment    string `json:"comment"`
}

type line struct {
	SKU        string   `json:"sku"`
	Title      string   `json:"title"`
	Quantity   uint32   `json:"quantity"`
	PriceCents uint64   `json:"price_cents"`
	Tags       []string `json:"tags"`
}

const frame = 64 * 1024

func main() {
	http.HandleFunc("/hello", hello)
	http.HandleFunc("/relay", relay)
	http.HandleFunc("/echo", echo)
	http.HandleFunc("/down", down)
	http.HandleFunc("/up", up)
	log.Fatal(http.ListenAndServe(os.Args[1], nil))
}

func hello(w http.ResponseWriter, _ *http.Request) {
	io.WriteString(w, "Hello, World!")
}

// Asks another server, at the URL that the second argument is, over connections that are kept.
var client = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}

func relay(w http.ResponseWriter, _ *http.Request) {
	answer, err := client.Get(os.Args[2])
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	defer answer.Body.Close()
	io.Copy(w, answer.Body)
}

func echo(w http.ResponseWriter, r *http.Request) {
	posted, err := io.ReadAll(r.Body)
	var o order
	if err == nil {
		err = json.Unmarshal(posted, &o)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	o.Revision++
	o.TotalCents = 0
	for _, l := range o.Lines {
		o.TotalCents += uint64(l.Quantity) * l.PriceCents
	}
	answer, err := json.Marshal(&o)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("content-type", "application/json")
	w.Write(answer)
}

func down(w http.ResponseWriter, r *http.Request) {
	left, err := strconv.Atoi(r.URL.Query().Get("bytes"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	chunk := make([]byte, frame)
	for i := range chunk {
		chunk[i] = 'x'
	}
	for left > 0 {
		if left < frame {
			chunk = chunk[:left]
		}
		n, err := w.Write(chunk)
		if err != nil {
			return
		}
		left -= n
	}
}

func up(w http.ResponseWriter, r *http.Request) {
	bytes, err := io.Copy(io.Discard, r.Body)
	if err != nil {
		return
	}
	fmt.Fprint(w, bytes)
}
