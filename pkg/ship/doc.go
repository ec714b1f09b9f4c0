// Package ship sends the dumps that a capture has left in a directory to a store, after the reboot. It may be killed
// at any moment, and the store too: what it sends is resumed, nothing is sent twice, and the memory of a dump is only
// removed here, if it is to be, when the store has confirmed its digest.
//
// What is sent of a dump is in its directory, in ship.json ([Record]). If that is lost,
// the store is asked.
package ship
