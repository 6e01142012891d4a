package cookies

// StorageOf returns the storage of a plugin.
func StorageOf(p *Plugin) Storage { return p.config.Storage }
