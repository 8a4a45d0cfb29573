package config

import (
	"net/url"
	"strings"
)

// adminListener is the name under which nodes register their admin ports (image.AdminListener): no listener may have it.
const adminListener = "ADMIN"

// admin reads where the admin port listens and where others reach it.
func (b *builder) admin(c *Config) {
	c.AdminListen = b.text("dmq.admin.listen")
	if c.AdminListen == "" {
		return
	}
	host, port, err := splitHostPort(c.AdminListen)
	if err != nil {
		b.fault("dmq.admin.listen", err.Error(), "write for example 127.0.0.1:9091, or nothing to switch it off")
		return
	}
	c.AdminAdvertised = Listener{Name: adminListener, Protocol: "PLAINTEXT", Host: host, Port: port}
	if text := b.text("dmq.admin.advertised"); text != "" {
		b.adminAdvertised(c, text)
		return
	}
	if !isWildcard(host) {
		return
	}
	switch {
	case len(c.AdvertisedListeners) > 0:
		c.AdminAdvertised.Host = c.AdvertisedListeners[0].Host
	case c.AdvertisedController.Host != "":
		c.AdminAdvertised.Host = c.AdvertisedController.Host
	default:
		c.AdminAdvertised = b.named(c.AdminAdvertised)
	}
}

// adminAdvertised reads dmq.admin.advertised: host:port, or a URL of these alone.
func (b *builder) adminAdvertised(c *Config, text string) {
	const next = "write for example dmq-1.example:9091"
	address := text
	if strings.Contains(text, "://") {
		u, err := url.Parse(text)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.User != nil {
			b.fault("dmq.admin.advertised", "is neither host:port nor http://host:port", next)
			return
		}
		address = u.Host
		if u.Port() == "" {
			address += map[string]string{"http": ":80", "https": ":443"}[u.Scheme]
		}
		if u.Scheme == "https" {
			c.AdminAdvertised.Protocol = "SSL"
		}
	}
	host, port, err := splitHostPort(address)
	if err != nil || isWildcard(host) {
		b.fault("dmq.admin.advertised", "tells nobody an address to connect to", next)
		return
	}
	c.AdminAdvertised.Host = host
	if port != 0 {
		c.AdminAdvertised.Port = port
	}
}
