// Sends a person's calls with Segment's SDK for Go, as it comes, and prints the message ids as JSON.
//
// Run as: segment-go HOST WRITE_KEY PREFIX. Nothing but the host is set; the callback only listens.
package main

import (
	"encoding/json"
	"log"
	"os"
	"sync"

	"github.com/segmentio/analytics-go/v3"
)

// What became of each message. The SDK calls it from goroutines of its own.
type heard struct {
	mutex    sync.Mutex
	Failures []string `json:"failures"`
	Messages []string `json:"messages"`
}

func (h *heard) Success(message analytics.Message) {
	text, err := json.Marshal(message)
	if err != nil {
		h.Failure(message, err)
		return
	}
	var sent struct {
		MessageID string `json:"messageId"`
	}
	if err := json.Unmarshal(text, &sent); err != nil {
		h.Failure(message, err)
		return
	}
	h.mutex.Lock()
	defer h.mutex.Unlock()
	h.Messages = append(h.Messages, sent.MessageID)
}

func (h *heard) Failure(_ analytics.Message, err error) {
	h.mutex.Lock()
	defer h.mutex.Unlock()
	h.Failures = append(h.Failures, err.Error())
}

func main() {
	if len(os.Args) != 4 {
		log.Fatal("usage: segment-go HOST WRITE_KEY PREFIX")
	}
	host, writeKey, prefix := os.Args[1], os.Args[2], os.Args[3]
	heard := &heard{Failures: []string{}, Messages: []string{}}
	client, err := analytics.NewWithConfig(writeKey, analytics.Config{Endpoint: host, Callback: heard})
	if err != nil {
		log.Fatal(err)
	}
	user := prefix + "-user"
	for _, call := range []analytics.Message{
		analytics.Identify{UserId: user, Traits: analytics.NewTraits().
			SetEmail(prefix+"@example.com").SetName("Zoë Ünal").Set("plan", int64(9007199254740993))},
		analytics.Track{UserId: user, Event: "Order Completed", Properties: analytics.NewProperties().
			Set("total", 19.9).SetCurrency("EUR").Set("note", "grüße 🎁")},
		analytics.Page{UserId: user, Name: "Lamps", Properties: analytics.NewProperties().
			SetURL("https://shop.example.com/lamps")},
		analytics.Screen{UserId: user, Name: "Start"},
		analytics.Group{UserId: user, GroupId: prefix + "-account", Traits: analytics.Traits{"seats": 3}},
		analytics.Alias{UserId: user, PreviousId: prefix + "-before"},
	} {
		if err := client.Enqueue(call); err != nil {
			log.Fatal(err)
		}
	}
	// Sends what waits, and comes back when it is sent.
	if err := client.Close(); err != nil {
		log.Fatal(err)
	}
	if err := json.NewEncoder(os.Stdout).Encode(heard); err != nil {
		log.Fatal(err)
	}
}
