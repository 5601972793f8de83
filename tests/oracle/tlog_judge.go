// SPDX-License-Identifier: Apache-2.0

// Reads a ledger with Go's own packages: opens the checkpoint as a signed note, computes the root from the tiles, checks
// every entry and a tlog-proof, and that the tree of each older size is a beginning of this one.
//
//	tlog_judge LEDGER VKEY-FILE [PROOF-FILE]
package main

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func read(parts ...string) []byte {
	data, err := os.ReadFile(filepath.Join(parts...))
	must(err)
	return data
}

// C2SP paths are those of Go's tiles of height 8 without the height.
type tiles struct{ folder string }

func (t tiles) Height() int { return 8 }
func (t tiles) ReadTiles(list []tlog.Tile) ([][]byte, error) {
	var data [][]byte
	for _, tile := range list {
		data = append(data, read(t.folder, strings.Replace(tile.Path(), "tile/8/", "tile/", 1)))
	}
	return data, nil
}
func (t tiles) SaveTiles([]tlog.Tile, [][]byte) {}

func entries(folder string, size int64) [][]byte {
	var all [][]byte
	for n := int64(0); n*256 < size; n++ {
		width := size - n*256
		if width > 256 {
			width = 256
		}
		path := strings.Replace(tlog.Tile{H: 8, L: -1, N: n, W: int(width)}.Path(), "tile/8/data/", "tile/entries/", 1)
		for data := read(folder, path); len(data) > 0; {
			length := binary.BigEndian.Uint16(data)
			all = append(all, data[2:2+length])
			data = data[2+length:]
		}
	}
	return all
}

func head(signed []byte, verifier note.Verifier) (int64, tlog.Hash) {
	opened, err := note.Open(signed, note.VerifierList(verifier))
	must(err)
	lines := strings.Split(opened.Text, "\n")
	if len(lines) != 4 || lines[0] != verifier.Name() {
		must(fmt.Errorf("unexpected checkpoint %q", opened.Text))
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	must(err)
	root, err := tlog.ParseHash(lines[2])
	must(err)
	return size, root
}

func checkProof(text []byte, all [][]byte, verifier note.Verifier) {
	top, signed, found := bytes.Cut(text, []byte("\n\n"))
	lines := strings.Split(string(top), "\n")
	if !found || lines[0] != "c2sp.org/tlog-proof@v1" {
		must(fmt.Errorf("not a tlog-proof"))
	}
	index, err := strconv.ParseInt(strings.TrimPrefix(lines[1], "index "), 10, 64)
	must(err)
	var proof tlog.RecordProof
	for _, line := range lines[2:] {
		raw, err := base64.StdEncoding.DecodeString(line)
		must(err)
		var hash tlog.Hash
		copy(hash[:], raw)
		proof = append(proof, hash)
	}
	size, root := head(signed, verifier)
	must(tlog.CheckRecord(proof, size, root, index, tlog.RecordHash(all[index])))
}

func main() {
	folder := os.Args[1]
	verifier, err := note.NewVerifier(strings.TrimSpace(string(read(os.Args[2]))))
	must(err)
	size, root := head(read(folder, "checkpoint"), verifier)
	all := entries(folder, size)
	if int64(len(all)) != size {
		must(fmt.Errorf("%d entries, not %d", len(all), size))
	}
	tree := tlog.Tree{N: size, Hash: root}
	reader := tlog.TileHashReader(tree, tiles{folder})
	for index, entry := range all {
		hashes, err := reader.ReadHashes([]int64{tlog.StoredHashIndex(0, int64(index))})
		must(err)
		if hashes[0] != tlog.RecordHash(entry) {
			must(fmt.Errorf("entry %d does not have its hash", index))
		}
		older, err := tlog.TreeHash(int64(index), reader)
		must(err)
		if index > 0 {
			proof, err := tlog.ProveTree(size, int64(index), reader)
			must(err)
			must(tlog.CheckTree(proof, size, root, int64(index), older))
		}
	}
	if len(os.Args) > 3 {
		checkProof(read(os.Args[3]), all, verifier)
	}
	fmt.Println("ok", size, root)
}
