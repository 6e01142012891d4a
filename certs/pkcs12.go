package certs

import (
	"bytes"
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/des"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"slices"
	"unicode/utf16"

	"golang.org/x/crypto/pkcs12"
)

// PKCS#12 (RFC 7292), reading only.
//
//	PFX = version, AuthSafe: data = SEQUENCE of ContentInfo, MacData
//	ContentInfo = data or encryptedData, each = SEQUENCE of SafeBag
//	SafeBag = certificate | private key | encrypted private key | what is passed over
//
// x/crypto's package is frozen and knows the algorithms of the nineties only; of
// those it reads files with RC2, which Go has nowhere else. What is written today,
// PBES2 (RFC 8018) with an HMAC of the SHA-2 family, and 3DES beside it are read
// here.

var (
	oidData          = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 1}
	oidEncryptedData = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 6}
	oidKeyBag        = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 12, 10, 1, 1}
	oidShroudedKey   = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 12, 10, 1, 2}
	oidCertBag       = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 12, 10, 1, 3}
	oid3DES          = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 12, 1, 3}
	oidRC2           = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 12, 1, 6}
	oidPBES2         = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 13}
	oidPBKDF2        = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 12}
)

// maxIterations bounds the work that a file can ask for: some seconds.
const maxIterations = 10_000_000

var (
	errRC2      = errors.New("encrypted by RC2")
	errPassword = errors.New("the password is wrong, or the file was changed")
)

type contentInfo struct {
	Type    asn1.ObjectIdentifier
	Content asn1.RawValue `asn1:"tag:0,explicit,optional"`
}

type pfx struct {
	Version  int
	AuthSafe contentInfo
	MAC      macData `asn1:"optional"`
}

type macData struct {
	MAC struct {
		Algorithm pkix.AlgorithmIdentifier
		Digest    []byte
	}
	Salt       []byte
	Iterations int `asn1:"optional,default:1"`
}

type safeBag struct {
	ID         asn1.ObjectIdentifier
	Value      asn1.RawValue   `asn1:"tag:0,explicit"`
	Attributes []asn1.RawValue `asn1:"set,optional"`
}

// decodePKCS12 returns the key and the chain in a file.
func decodePKCS12(data []byte, password string) (tls.Certificate, error) {
	s := &safe{password: password}
	err := s.decode(data)
	if errors.Is(err, errRC2) {
		*s = safe{password: password}
		err = s.decodeOld(data)
	}
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("%w (openssl pkcs12 -in FILE -nodes writes it as PEM)", err)
	}
	return s.certificate()
}

// safe collects what is in a file.
type safe struct {
	password string
	secret   []byte // the password for PKCS#12's own key derivation, as the MAC has it
	keys     []crypto.PrivateKey
	certs    []*x509.Certificate
}

func (s *safe) decode(data []byte) (err error) {
	var p pfx
	if err := unmarshal(data, &p); err != nil {
		return fmt.Errorf("it is no PKCS#12 in DER: %w", err)
	}
	if p.Version != 3 || !p.AuthSafe.Type.Equal(oidData) {
		return fmt.Errorf("PKCS#12 version %d with content %v; only version 3, protected by a password, is read", p.Version, p.AuthSafe.Type)
	}
	var content []byte
	if err := unmarshal(p.AuthSafe.Content.Bytes, &content); err != nil {
		return err
	}
	if s.secret, err = p.MAC.verify(content, s.password); err != nil {
		return err
	}
	var parts []contentInfo
	if err := unmarshal(content, &parts); err != nil {
		return err
	}
	for _, part := range parts {
		plain, err := s.open(part)
		if err != nil {
			return err
		}
		var bags []safeBag
		if err := unmarshal(plain, &bags); err != nil {
			return err
		}
		for _, bag := range bags {
			if err := s.take(bag); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *safe) open(part contentInfo) (plain []byte, err error) {
	switch {
	case part.Type.Equal(oidData):
		err = unmarshal(part.Content.Bytes, &plain)
		return plain, err
	case part.Type.Equal(oidEncryptedData):
		var e struct {
			Version int
			Info    struct {
				Type      asn1.ObjectIdentifier
				Algorithm pkix.AlgorithmIdentifier
				Content   []byte `asn1:"tag:0,optional"`
			}
		}
		if err := unmarshal(part.Content.Bytes, &e); err != nil {
			return nil, err
		}
		return s.decrypt(e.Info.Algorithm, e.Info.Content)
	}
	return nil, fmt.Errorf("content of type %v is not supported", part.Type)
}

func (s *safe) take(bag safeBag) error {
	der := bag.Value.Bytes
	switch {
	case bag.ID.Equal(oidCertBag):
		var b struct {
			ID   asn1.ObjectIdentifier
			Data []byte `asn1:"tag:0,explicit"`
		}
		if err := unmarshal(der, &b); err != nil {
			return err
		}
		c, err := x509.ParseCertificate(b.Data)
		s.certs = append(s.certs, c)
		return err
	case bag.ID.Equal(oidShroudedKey):
		var e struct {
			Algorithm pkix.AlgorithmIdentifier
			Data      []byte
		}
		if err := unmarshal(der, &e); err != nil {
			return err
		}
		var err error
		if der, err = s.decrypt(e.Algorithm, e.Data); err != nil {
			return err
		}
	case !bag.ID.Equal(oidKeyBag):
		return nil // lists, secrets, nested contents
	}
	key, err := x509.ParsePKCS8PrivateKey(der)
	s.keys = append(s.keys, key)
	return err
}

// decodeOld leaves it to x/crypto.
func (s *safe) decodeOld(data []byte) error {
	blocks, err := pkcs12.ToPEM(data, s.password)
	if errors.Is(err, pkcs12.ErrIncorrectPassword) {
		return errPassword
	} else if err != nil {
		return err
	}
	for _, b := range blocks {
		if b.Type == "CERTIFICATE" {
			c, err := x509.ParseCertificate(b.Bytes)
			if err != nil {
				return err
			}
			s.certs = append(s.certs, c)
			continue
		}
		var key crypto.PrivateKey
		if key, err = x509.ParsePKCS1PrivateKey(b.Bytes); err != nil {
			if key, err = x509.ParseECPrivateKey(b.Bytes); err != nil {
				return errors.New("the private key is neither RSA nor ECDSA")
			}
		}
		s.keys = append(s.keys, key)
	}
	return nil
}

// certificate puts the key's certificate first and its issuers behind it.
func (s *safe) certificate() (tls.Certificate, error) {
	if len(s.keys) != 1 {
		return tls.Certificate{}, fmt.Errorf("there are %d private keys instead of one", len(s.keys))
	}
	signer, ok := s.keys[0].(crypto.Signer)
	if !ok {
		return tls.Certificate{}, fmt.Errorf("the private key, a %T, cannot sign", s.keys[0])
	}
	public, ok := signer.Public().(interface{ Equal(crypto.PublicKey) bool })
	if !ok {
		return tls.Certificate{}, fmt.Errorf("the public key is a %T", signer.Public())
	}
	for _, leaf := range s.certs {
		if !public.Equal(leaf.PublicKey) {
			continue
		}
		chain := tls.Certificate{PrivateKey: signer, Leaf: leaf}
		for c := leaf; c != nil && len(chain.Certificate) < len(s.certs); c = s.issuer(c) {
			chain.Certificate = append(chain.Certificate, c.Raw)
		}
		return chain, nil
	}
	return tls.Certificate{}, fmt.Errorf("none of %d certificates is for the private key", len(s.certs))
}

func (s *safe) issuer(of *x509.Certificate) *x509.Certificate {
	for _, c := range s.certs {
		if c != of && bytes.Equal(c.RawSubject, of.RawIssuer) && !bytes.Equal(of.RawSubject, of.RawIssuer) {
			return c
		}
	}
	return nil
}

// unmarshal refuses what follows on the value.
func unmarshal(der []byte, v any) error {
	rest, err := asn1.Unmarshal(der, v)
	if err == nil && len(rest) > 0 {
		return fmt.Errorf("%d bytes follow on the value", len(rest))
	}
	return err
}

// digest is a hash, and what it is called alone and in an HMAC.
type digest struct {
	plain, hmac asn1.ObjectIdentifier
	make        func() hash.Hash
}

var digests = []digest{
	{asn1.ObjectIdentifier{1, 3, 14, 3, 2, 26}, asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 7}, sha1.New},
	{asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1}, asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 9}, sha256.New},
	{asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 2}, asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 10}, sha512.New384},
	{asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 3}, asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 11}, sha512.New},
}

// verify checks the MAC of content (RFC 7292 §5.1), and returns the password in the
// form that it was made with: writers disagree about the empty one.
func (m *macData) verify(content []byte, password string) (secret []byte, err error) {
	if m.MAC.Algorithm.Algorithm == nil {
		return nil, errors.New("there is no MAC to check the password by")
	}
	for _, d := range digests {
		if !m.MAC.Algorithm.Algorithm.Equal(d.plain) {
			continue
		}
		if m.Iterations < 1 || m.Iterations > maxIterations {
			return nil, fmt.Errorf("%d iterations for the MAC", m.Iterations)
		}
		secret = bmpString(password)
		switch {
		case m.matches(d, content, secret):
			return secret, nil
		case password == "" && m.matches(d, content, nil):
			return nil, nil
		}
		return nil, errPassword
	}
	return nil, fmt.Errorf("the MAC's algorithm %v is not supported", m.MAC.Algorithm.Algorithm)
}

func (m *macData) matches(d digest, content, secret []byte) bool {
	mac := hmac.New(d.make, deriveOld(d.make(), forMAC, secret, m.Salt, m.Iterations, d.make().Size()))
	mac.Write(content)
	return hmac.Equal(mac.Sum(nil), m.MAC.Digest)
}

// What bytes are derived for (RFC 7292 appendix B.3).
const (
	forKey = 1
	forIV  = 2
	forMAC = 3
)

// deriveOld is PKCS#12's own derivation of size bytes (RFC 7292 appendix B.2).
func deriveOld(h hash.Hash, purpose byte, secret, salt []byte, iterations, size int) (out []byte) {
	v := h.BlockSize()
	diversifier := bytes.Repeat([]byte{purpose}, v)
	input := append(fill(salt, v), fill(secret, v)...)
	for {
		h.Reset()
		h.Write(diversifier)
		h.Write(input)
		a := h.Sum(nil)
		for range iterations - 1 {
			h.Reset()
			h.Write(a)
			a = h.Sum(a[:0])
		}
		if out = append(out, a...); len(out) >= size {
			return out[:size]
		}
		b := fill(a, v)
		for block := range slices.Chunk(input, v) { // block += b + 1, as big numbers
			carry := 1
			for i := v - 1; i >= 0; i-- {
				carry += int(block[i]) + int(b[i])
				block[i] = byte(carry)
				carry >>= 8
			}
		}
	}
}

// fill repeats b up to the next multiple of size.
func fill(b []byte, size int) []byte {
	if len(b) == 0 {
		return nil
	}
	n := (len(b) + size - 1) / size * size
	return bytes.Repeat(b, n/len(b)+1)[:n]
}

// bmpString is s in big-endian UTF-16 with a final NUL.
func bmpString(s string) []byte {
	var b []byte
	for _, unit := range utf16.Encode([]rune(s)) {
		b = binary.BigEndian.AppendUint16(b, unit)
	}
	return append(b, 0, 0)
}

func (s *safe) decrypt(algorithm pkix.AlgorithmIdentifier, data []byte) ([]byte, error) {
	switch id := algorithm.Algorithm; {
	case id.Equal(oidPBES2):
		return decryptPBES2(algorithm, data, s.password)
	case id.Equal(oid3DES):
		return decrypt3DES(algorithm, data, s.secret)
	case id.Equal(oidRC2):
		return nil, errRC2
	default:
		return nil, fmt.Errorf("encryption %v is not supported", id)
	}
}

// decrypt3DES implements PBE with SHA-1 and 3DES (RFC 7292 appendix C).
func decrypt3DES(algorithm pkix.AlgorithmIdentifier, data, secret []byte) ([]byte, error) {
	var p struct {
		Salt       []byte
		Iterations int
	}
	if err := unmarshal(algorithm.Parameters.FullBytes, &p); err != nil {
		return nil, err
	}
	if p.Iterations < 1 || p.Iterations > maxIterations {
		return nil, fmt.Errorf("%d iterations for the key", p.Iterations)
	}
	block, err := des.NewTripleDESCipher(deriveOld(sha1.New(), forKey, secret, p.Salt, p.Iterations, 24))
	if err != nil {
		return nil, err
	}
	return decryptCBC(block, deriveOld(sha1.New(), forIV, secret, p.Salt, p.Iterations, des.BlockSize), data)
}

// decryptPBES2 implements RFC 8018 §6.2 with PBKDF2 and AES in CBC mode.
func decryptPBES2(algorithm pkix.AlgorithmIdentifier, data []byte, password string) ([]byte, error) {
	var scheme struct{ KDF, Cipher pkix.AlgorithmIdentifier }
	if err := unmarshal(algorithm.Parameters.FullBytes, &scheme); err != nil {
		return nil, err
	}
	sizes := map[string]int{"2.16.840.1.101.3.4.1.2": 16, "2.16.840.1.101.3.4.1.22": 24, "2.16.840.1.101.3.4.1.42": 32}
	size, ok := sizes[scheme.Cipher.Algorithm.String()]
	if !ok {
		return nil, fmt.Errorf("cipher %v is not supported; AES in CBC mode is", scheme.Cipher.Algorithm)
	}
	key, err := deriveKey(scheme.KDF, password, size)
	if err != nil {
		return nil, err
	}
	var iv []byte
	if err := unmarshal(scheme.Cipher.Parameters.FullBytes, &iv); err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return decryptCBC(block, iv, data)
}

func decryptCBC(block cipher.Block, iv, data []byte) ([]byte, error) {
	size := block.BlockSize()
	if len(iv) != size || len(data) == 0 || len(data)%size != 0 {
		return nil, errors.New("the encrypted data are not whole blocks")
	}
	plain := make([]byte, len(data))
	cipher.NewCBCDecrypter(block, iv).CryptBlocks(plain, data)
	padding := int(plain[len(plain)-1])
	if padding < 1 || padding > size || !bytes.Equal(plain[len(plain)-padding:], bytes.Repeat([]byte{byte(padding)}, padding)) {
		return nil, errPassword
	}
	return plain[:len(plain)-padding], nil
}

func deriveKey(kdf pkix.AlgorithmIdentifier, password string, size int) ([]byte, error) {
	if !kdf.Algorithm.Equal(oidPBKDF2) {
		return nil, fmt.Errorf("key derivation %v is not supported", kdf.Algorithm)
	}
	var p struct {
		Salt       []byte
		Iterations int
		KeyLength  int                      `asn1:"optional"`
		PRF        pkix.AlgorithmIdentifier `asn1:"optional"`
	}
	if err := unmarshal(kdf.Parameters.FullBytes, &p); err != nil {
		return nil, err
	}
	if p.Iterations < 1 || p.Iterations > maxIterations {
		return nil, fmt.Errorf("%d iterations for the key", p.Iterations)
	}
	if p.PRF.Algorithm == nil {
		p.PRF.Algorithm = digests[0].hmac // the default
	}
	for _, d := range digests {
		if p.PRF.Algorithm.Equal(d.hmac) {
			return pbkdf2.Key(d.make, password, p.Salt, p.Iterations, size)
		}
	}
	return nil, fmt.Errorf("the pseudorandom function %v is not supported", p.PRF.Algorithm)
}
