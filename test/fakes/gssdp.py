"""Answers SSDP searches by GNOME's library: `gssdp.py INTERFACE URL UUID`. Prints a line when it does."""
import sys
import gi
gi.require_version('GSSDP', '1.6')
from gi.repository import GLib, GSSDP

interface, url, uuid = sys.argv[1:]
target = 'urn:dmtf-org:service:redfish-rest:1'
client = GSSDP.Client.new_full(interface, None, 0, GSSDP.UDAVersion.VERSION_1_0)
group = GSSDP.ResourceGroup.new(client)
group.add_resource_simple(target, f'uuid:{uuid}::{target}', url)
group.add_resource_simple('upnp:rootdevice', f'uuid:{uuid}::upnp:rootdevice', url)
group.set_available(True)
print('ready', flush=True)
GLib.MainLoop().run()
