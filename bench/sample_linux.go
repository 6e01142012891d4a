package main

import "encoding/json"

// record is what the JSON cells send and receive.
type record struct {
	ID      int64             `json:"id"`
	Name    string            `json:"name"`
	Email   string            `json:"email"`
	Active  bool              `json:"active"`
	Score   float64           `json:"score"`
	Tags    []string          `json:"tags"`
	Labels  map[string]string `json:"labels"`
	Address address           `json:"address"`
	Notes   string            `json:"notes"`
}

type address struct {
	Street  string `json:"street"`
	City    string `json:"city"`
	Country string `json:"country"`
	Zip     string `json:"zip"`
}

var sample = record{
	ID: 4711, Name: "Ada Lovelace", Email: "ada@example.org", Active: true, Score: 99.5,
	Tags:    []string{"mathematics", "engines", "notes", "bernoulli", "poetry", "looms"},
	Labels:  map[string]string{"role": "author", "team": "analytical", "level": "principal", "site": "london"},
	Address: address{Street: "12 St James's Square", City: "London", Country: "GB", Zip: "SW1Y 4JH"},
	Notes: "The Analytical Engine has no pretensions whatever to originate anything. It can do whatever we know " +
		"how to order it to perform. It can follow analysis; but it has no power of anticipating any analytical " +
		"relations or truths. Its province is to assist us in making available what we are already acquainted with. " +
		"This it is calculated to effect primarily and chiefly of course, through its executive faculties; but it is " +
		"likely to exert an indirect and reciprocal influence on science itself in another manner.",
}

var sampleJSON = func() string {
	b, err := json.Marshal(sample)
	if err != nil {
		panic(err)
	}
	return string(b)
}()
