package dial

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/net/idna"
)

// CanonicalHosts returns hosts as Dialer.Hosts needs them: keys in lower case,
// international names in ASCII, IPv6 addresses without brackets unless there is a
// port. The error names the first entry that no host, or no place, can be made of;
// it is left as it is.
func CanonicalHosts(hosts map[string]string) (map[string]string, error) {
	if len(hosts) == 0 {
		return nil, nil
	}
	var wrong error
	canonical := make(map[string]string, len(hosts))
	for _, given := range slices.Sorted(maps.Keys(hosts)) {
		key := given
		host, port, err := splitPlace(given)
		switch {
		case err == nil && port != "":
			key = net.JoinHostPort(host, port)
		case err == nil:
			key = host
		}
		if _, twice := canonical[key]; err == nil && twice {
			err = errors.New("it stands for the same as another key")
		}
		if err != nil {
			err = fmt.Errorf("key %q: %w", given, err)
		} else if _, _, err = splitPlace(hosts[given]); err != nil {
			err = fmt.Errorf("value for %q: %w", given, err)
		}
		if wrong == nil {
			wrong = err
		}
		canonical[key] = hosts[given]
	}
	return canonical, wrong
}

// splitPlace takes a "host", "host:port", "address" or "[address]" apart; port is
// "" if there is none.
func splitPlace(s string) (host, port string, err error) {
	if a, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(s, "["), "]")); err == nil {
		return a.Unmap().String(), "", nil
	}
	host = s
	if strings.Contains(s, ":") {
		if host, port, err = net.SplitHostPort(s); err != nil {
			return "", "", fmt.Errorf("%q is neither a host nor a host:port", s)
		}
		if err := checkPort(port); err != nil {
			return "", "", fmt.Errorf("%q is neither a host nor a host:port: %w", s, err)
		}
	}
	if host, err = asciiHost(strings.TrimSuffix(host, ".")); err != nil {
		return "", "", err
	}
	if strings.Contains(host, "*") {
		return "", "", fmt.Errorf("%q: there are no patterns", s)
	}
	return host, strings.TrimLeft(port, "0"), nil
}

func checkPort(port string) error {
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return fmt.Errorf("port %q is not one of 1 to 65535", port)
	}
	return nil
}

// asciiHost returns host in lower case, an international name in ASCII
// (RFC 5891) and an address in its shortest form.
func asciiHost(host string) (string, error) {
	if a, err := netip.ParseAddr(host); err == nil && !hasBlank(host) {
		return a.Unmap().String(), nil
	}
	switch {
	case host == "":
		return "", errors.New("there is no host")
	case hasBlank(host) || strings.ContainsAny(host, "/\\?#@,\"<>{}|^`:%"):
		return "", fmt.Errorf("%q is not the name of a host", host)
	case strings.ContainsFunc(host, func(r rune) bool { return r >= 0x80 }):
		name, err := idna.Lookup.ToASCII(host)
		if err != nil {
			return "", fmt.Errorf("host %q: %w", host, err)
		}
		return name, nil
	}
	return strings.ToLower(host), nil
}

// hasBlank reports whether s has white space or a control character.
func hasBlank(s string) bool {
	return strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r == 0x7f })
}
