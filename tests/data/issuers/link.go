package main

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

func ecbToken(key []byte, path string) string {
	text := []byte(path)
	text = append(text, make([]byte, -len(text)&15)...)
	block, err := aes.NewCipher(key)
	check(err)
	for at := 0; at < len(text); at += aes.BlockSize {
		block.Encrypt(text[at:], text[at:])
	}
	return base64.URLEncoding.EncodeToString(text)
}

func jweToken(key []byte, claims map[string]any) string {
	text, err := json.Marshal(claims)
	check(err)
	block, err := aes.NewCipher(key)
	check(err)
	gcm, err := cipher.NewGCM(block)
	check(err)
	iv := make([]byte, gcm.NonceSize())
	_, err = rand.Read(iv)
	check(err)
	base64url := base64.RawURLEncoding.EncodeToString
	header := base64url([]byte(`{"alg":"dir","enc":"A256GCM"}`))
	sealed := gcm.Seal(nil, iv, text, []byte(header))
	end := len(sealed) - gcm.Overhead()
	parts := []string{header, "", base64url(iv), base64url(sealed[:end]), base64url(sealed[end:])}
	return strings.Join(parts, ".")
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// link KEY_FILE PATH [SECONDS FILENAME]
func main() {
	text, err := os.ReadFile(os.Args[1])
	check(err)
	key, err := hex.DecodeString(strings.TrimSpace(string(text)))
	check(err)
	if len(key) != 32 {
		check(errors.New(os.Args[1] + ": expected one key of 64 hex digits"))
	}
	path := os.Args[2]
	if len(os.Args) > 3 {
		seconds, err := strconv.ParseInt(os.Args[3], 10, 64)
		check(err)
		exp := time.Now().Unix() + seconds
		fmt.Println(jweToken(key, map[string]any{"path": path, "exp": exp, "filename": os.Args[4]}))
	} else {
		fmt.Println(ecbToken(key, path))
	}
}
