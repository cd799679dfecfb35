# SPDX-License-Identifier: Apache-2.0
"""Other mail filters from Debian's packages, given the mixed rule set: rspamd (milter mode, self-scan, only these rules) and
MIMEDefang (embedded Perl, spool in memory). A peer is measured when its package is there; MIMEDefang needs root, because its
programs change to their own user."""
import os
import pathlib
import shutil

from lib.processes import Filter
from lib.rules import MARK, MIXED_HEADERS, MIXED_TEXTS


def perl_regex(pattern):
    """(delimited pattern, flags) of a PCRE pattern for Perl and rspamd."""
    flags = "i" if pattern.startswith("(?i)") else ""
    body = pattern.removeprefix("(?i)").replace(r"\/", "/").replace("/", r"\/")
    return f"/{body}/", flags


def lua_string(text):
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def rspamd(directory):
    program = shutil.which("rspamd", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/bin")
    if program is None:
        return None
    home = pathlib.Path(directory, "rspamd")
    home.mkdir()
    rules = ['require "global_functions" ()', "local rules = {}", "config['regexp'] = rules", "rspamd_maps = {}"]
    entries = []
    for number, (field, pattern) in enumerate(MIXED_HEADERS):
        regex, flags = perl_regex(pattern)
        entries.append((f"BENCH_H{number}", f"{field}={regex}{flags}{{header}}", 1))
    for number, pattern in enumerate(MIXED_TEXTS):
        regex, flags = perl_regex(pattern)
        entries.append((f"BENCH_T{number}", f"{regex}{flags}{{mime}}", 7 if number == 0 else 1))
    rules += [f"rules['{name}'] = {{ re = {lua_string(regex)}, score = {score}.0, group = 'bench' }}"
              for name, regex, score in entries]
    (home / "rules.lua").write_text("\n".join(rules) + "\n")
    (home / "extensions.map").write_text("\n".join(("exe", "scr", "pif", "bat", "vbs", "js", "lnk")) + "\n")
    socket = home / "milter.sock"
    share = "/usr/share/rspamd"
    (home / "rspamd.conf").write_text(f"""
lua = "{home}/rules.lua";
options {{
  pidfile = "{home}/rspamd.pid"; filters = "regexp"; tempdir = "{home}"; hs_cache_dir = "{home}/";
  cache_file = "{home}/symbols.cache"; control_socket = "{home}/control.sock mode=0600"; history_rows = 1;
  dns {{ nameserver = ["127.0.0.1"]; timeout = 1s; }}
  url_tld = "{share}/effective_tld_names.dat"; task_timeout = 8s; explicit_modules = ["settings", "bayes_expiry"];
}}
logging {{ type = "file"; filename = "{home}/rspamd.log"; level = "warning"; }}
worker "rspamd_proxy" {{
  bind_socket = "{socket} mode=0777"; milter = yes; timeout = 120s; count = 2; max_retries = 5;
  upstream "local" {{ default = yes; self_scan = yes; }}
  spam_header = "{MARK}";
}}
modules {{ path = "{share}/plugins/multimap.lua"; }}
actions {{ reject = 15; add_header = 6; }}
multimap {{ BENCH_NAME {{ type = "filename"; filter = "extension"; map = "{home}/extensions.map"; score = 20.0; }} }}
""")
    user = ["-i", "-u", "root", "-g", "root"] if os.geteuid() == 0 else []
    peer = Filter("rspamd", f"unix:{socket}", str(home / "output.log"))
    return peer.start([program, "-f", *user, "-c", str(home / "rspamd.conf")]).wait()


def mimedefang(directory):
    path = os.environ.get("PATH", "") + ":/usr/sbin:/usr/bin"
    multiplexor, program = shutil.which("mimedefang-multiplexor", path=path), shutil.which("mimedefang", path=path)
    if multiplexor is None or program is None or os.geteuid() != 0:
        return None
    base = "/dev/shm" if os.path.isdir("/dev/shm") else directory
    home = pathlib.Path(base, f"postern-bench-{os.getpid()}")
    for part in ("spool", "quarantine"):
        (home / part).mkdir(parents=True)
        shutil.chown(home / part, "defang", "defang")
        (home / part).chmod(0o750)
    headers = ",\n".join(f"  ['H{number}', '{field}', qr{''.join(perl_regex(pattern))}]"
                         for number, (field, pattern) in enumerate(MIXED_HEADERS))
    texts = ",\n".join(f"  ['T{number}', qr{''.join(perl_regex(pattern))}]" for number, pattern in enumerate(MIXED_TEXTS))
    (home / "filter.pl").write_text(f"""use strict;
use warnings;
our %Found;
my @headers = (
{headers});
my @texts = (
{texts});
sub filter_begin {{
  my ($entity) = @_;
  %Found = ();
  for my $rule (@headers) {{
    for my $value ($entity->head->get_all($rule->[1])) {{ $Found{{$rule->[0]}} = 1 if $value =~ $rule->[2]; }}
  }}
}}
sub filter {{
  my ($entity, $name, $extension, $type) = @_;
  return action_bounce("Attachment type not allowed") if re_match($entity, '\\.(exe|scr|pif|bat|vbs|js|lnk)$');
  if ($type =~ m{{^text/}}) {{
    my $text = $entity->bodyhandle->as_string;
    for my $rule (@texts) {{ $Found{{$rule->[0]}} = 1 if $text =~ $rule->[1]; }}
  }}
  return action_accept();
}}
sub filter_multipart {{ return action_accept(); }}
sub filter_end {{ action_add_header('{MARK}', join(',', sort keys %Found)) if %Found && !message_rejected(); }}
1;
""")
    home.chmod(0o755)
    (home / "filter.pl").chmod(0o644)
    spool = home / "spool"
    peer = Filter("mimedefang", f"unix:{spool}/milter.sock", str(home / "output.log"))
    peer.extra = home
    peer.start([multiplexor, "-D", "-U", "defang", "-m", "2", "-x", "10", "-q", "128", "-r", "100000", "-b", "600", "-E",
                "-s", f"{spool}/workers.sock", "-z", str(home / "quarantine"), "-F", str(home / "filter.pl")])
    Filter("mimedefang-multiplexor", f"unix:{spool}/workers.sock", peer.log).wait()
    peer.start([program, "-D", "-U", "defang", "-X", "-q", "-b", "1024", "-m", f"{spool}/workers.sock",
                "-z", str(home / "quarantine"), "-p", f"{spool}/milter.sock"])
    return peer.wait()


PEERS = {"rspamd": rspamd, "mimedefang": mimedefang}
