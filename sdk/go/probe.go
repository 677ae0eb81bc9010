package gridloom

import "fmt"

// keyMax is most bytes of a key that is a text.
const keyMax = 256

// Probe is a question to a handler: which pages does this slice have, behind the key After?
type Probe struct {
	Cell
	// After is the last key that is known; nil for the first question of the slice.
	After *Key

	room, most int
	pages      [][2]Key
	texts      map[Key]bool
	cursor     *Key
	full       bool
	fault      error
}

// Add says first and last key of the next page, both inside it, behind those that were said and behind After. It is
// false where the answer has no room for it, or cannot be right: then the function may return. What has no room is asked
// for again, behind the last page that had.
func (p *Probe) Add(first, last Key) bool {
	if p.full || p.fault != nil {
		return false
	}
	for _, key := range [2]Key{first, last} {
		if p.fault = checkKey(key); p.fault != nil {
			return false
		}
	}
	cost := 1 + first.cost() + last.cost()
	if len(p.pages) > 0 && (cost > p.room || len(p.pages) >= p.most) {
		p.full, p.cursor = true, &p.pages[len(p.pages)-1][1]
		return false
	}
	if cost > p.room {
		p.fault = fmt.Errorf("a page whose keys take %d bytes, %d are the most", cost, p.room)
		return false
	}
	if p.fault = p.fits(first, last); p.fault != nil {
		return false
	}
	p.room -= cost
	p.pages = append(p.pages, [2]Key{first, last})
	return true
}

func checkKey(key Key) error {
	switch {
	case len(key.text) > keyMax:
		return fmt.Errorf("a key of %d bytes, %d are the most", len(key.text), keyMax)
	case !key.isSound():
		return fmt.Errorf("the key %q is no UTF-8", key.text)
	}
	return nil
}

// fits refuses a page by which a row would be done twice: no audit of shards would show it.
func (p *Probe) fits(first, last Key) error {
	number := len(p.pages) + 1
	before := p.After
	if len(p.pages) > 0 {
		before = &p.pages[len(p.pages)-1][1]
	}
	if first.isText != last.isText || (before != nil && before.isText != first.isText) {
		return fmt.Errorf("page %d with whole numbers for keys beside texts: take one type", number)
	}
	again := before != nil && *before == first
	if first.isText {
		// How texts are ordered only their database knows, but one that comes twice is in two pages in every order.
		if p.texts == nil {
			p.texts = make(map[Key]bool)
		}
		again = again || p.texts[first] || p.texts[last]
		p.texts[first], p.texts[last] = true, true
	} else {
		if before != nil && first.number < before.number {
			return fmt.Errorf("page %d begins before the page before it ends: pages must be in order", number)
		}
		if first.number > last.number {
			return fmt.Errorf("page %d ends before it begins", number)
		}
	}
	if again {
		return fmt.Errorf("page %d shares a key with a page before it, whose row would be done twice: "+
			"the key of pages must be unique: take one that is, such as the primary key", number)
	}
	return nil
}

// outcome is how the probe is answered.
func (p *Probe) outcome(err error) answer {
	switch {
	case p.fault != nil:
		return p.failed(Permanent(p.fault))
	case err != nil:
		return p.failed(err)
	}
	if p.pages == nil {
		p.pages = [][2]Key{}
	}
	return answer{pages: &pagesMessage{Type: "pages", ID: p.id, Pages: p.pages, Cursor: p.cursor}}
}
