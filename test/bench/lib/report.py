# SPDX-License-Identifier: Apache-2.0
"""What was measured, as a Markdown table, and how it stands against the aims."""


def find(result, filter_name, set_name, size, connections=10):
    for row in result["cases"]:
        if (row["filter"], row["set"], row["size"], row["connections"]) == (filter_name, set_name, size, connections):
            return row
    return None


def aims(result):
    """(what, got, aim, holds) for every aim whose cases were measured."""
    large = f"header-{result['options']['filters']}"
    rows = []
    for set_name, size, most in (("header-20", "4k", 1.5), (large, "4k", 6.0), ("body-20", "100k", 4.0)):
        if row := find(result, "posternd", set_name, size):
            rows.append((f"CPU, {set_name} on {size}, in no-ops", f"{row['ratio']:.2f}", f"at most {most}", row["ratio"] <= most))
    few, many, separate = (find(result, "posternd", name, "100k") for name in (
        "dictionary-20", f"dictionary-{result['options']['filters']}", f"separate-{result['options']['filters']}"))
    if few and many:
        factor = many["cpu_us"] / few["cpu_us"]
        rows.append(("CPU, the large dictionary on 100k, in dictionaries of 20", f"{factor:.2f}", "at most 1.5", factor <= 1.5))
    if many and separate:
        factor = separate["cpu_us"] / many["cpu_us"]
        rows.append(("CPU, the same terms as separate searches, in large dictionaries", f"{factor:.1f}", "at least 5", factor >= 5))
    for peer, least in (("rspamd", 2.0), ("mimedefang", 8.0)):
        for size in ("4k", "100k"):
            own, other = find(result, "posternd", "mixed-20", size), find(result, peer, "mixed-20", size)
            if own and other:
                factor = other["cpu_us"] / own["cpu_us"]
                rows.append((f"CPU, {peer} in posternds, mixed-20 on {size}", f"{factor:.1f}", f"at least {least:g}",
                             factor >= least))
    if idle := result["idle"]:
        bound = 2 * idle["noop"]["rss_kib"] + 20 * 1024
        rows.append((f"RSS with {idle['connections']} idle connections", f"{idle['posternd']['rss_kib'] / 1024:.1f} MiB",
                     f"at most {bound / 1024:.1f} MiB (2 no-ops + 20 MiB)", idle["posternd"]["rss_kib"] <= bound))
    return rows


def markdown(result):
    machine = result["machine"]
    out = [f"{machine['cpu']}, {machine['cores']} cores, Linux {machine['kernel']}; revision {result['revision']}; "
           f"{result['options']['rounds']} rounds of {result['options']['seconds']:g} s per measurement.", "",
           "CPU is user and system time per message; the ratio is the median over the rounds of each measurement to the mean of "
           "the no-op's just before and after it, with the same milter steps.", "",
           "| filter | rules | size | connections | CPU µs | no-op µs | ratio | messages/s | to no-op | p50 µs | p99 µs | RSS MiB | PSS MiB |",
           "|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|"]
    for row in result["cases"]:
        out.append(f"| {row['filter']} | {row['set']} | {row['size']} | {row['connections']} | {row['cpu_us']:.0f} | "
                   f"{row['noop_cpu_us']:.0f} | {row['ratio']:.2f} | {row['per_second']:.0f} | "
                   f"{row['per_second'] / row['noop_per_second']:.2f} | {row['p50_us']:.0f} | {row['p99_us']:.0f} | "
                   f"{row['rss_kib'] / 1024:.1f} | {row['pss_kib'] / 1024:.1f} |")
    if idle := result["idle"]:
        out += ["", f"{idle['connections']} connections open after HELO, fresh processes:", "",
                "| filter | RSS MiB before | RSS MiB | PSS MiB |", "|---|--:|--:|--:|"]
        for name in ("noop", "posternd"):
            out.append(f"| {name} | {idle[name]['before_rss_kib'] / 1024:.1f} | {idle[name]['rss_kib'] / 1024:.1f} | "
                       f"{idle[name]['pss_kib'] / 1024:.1f} |")
    if rows := aims(result):
        out += ["", "| aim | measured | wanted | holds |", "|---|--:|--:|---|"]
        out += [f"| {what} | {got} | {aim} | {'yes' if holds else 'no'} |" for what, got, aim, holds in rows]
    if result["missing"]:
        out += ["", "Not measured, because not installed or not working here: " + ", ".join(result["missing"]) + "."]
    return "\n".join(out)
