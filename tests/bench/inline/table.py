"""Medians of the lines that run.sh writes, with ratios to the accept-all
loop of the same round: round, work, name (may have blanks), value,
microseconds of CPU, packets, KiB resident before any traffic."""

import statistics
import sys

UNITS = {
    'bulk': 'Gbit/s, 8 connections',
    'keep-alive': 'requests/s, 32 connections',
    'new-connections': 'requests/s, each with its connection',
    'round-trip': 'us, 64 bytes',
}
BASE = 'accept-all'

rows = {}
for line in open(sys.argv[1]):
    number, work, *name, value, cpu, packets, memory = line.split()
    rows[int(number), work, ' '.join(name)] = tuple(map(float, (value, cpu, packets, memory)))


def of(work, name, figure):
    """Medians over the rounds of a figure, and of its ratio to the base."""
    own, ratios = [], []
    for (number, at, who), row in rows.items():
        base = rows.get((number, work, BASE))
        if (at, who) == (work, name) and row[2] and base:
            own.append(figure(row))
            ratios.append(figure(row) / figure(base) if figure(base) else 0)
    return statistics.median(own), statistics.median(ratios)


names = list(dict.fromkeys(name for _, _, name in rows))
for work in dict.fromkeys(work for _, work, _ in rows):
    print(f'\n{work}: {UNITS[work]}\n')
    print('| configuration | value | ratio | us of CPU a packet | ratio | work a CPU second, ratio |')
    print('|---|---|---|---|---|---|')
    for name in names:
        try:
            value = of(work, name, lambda row: row[0])
            cost = of(work, name, lambda row: row[1] / row[2])
            work_done = of(work, name, lambda row: row[0] / max(row[1], 1))
        except statistics.StatisticsError:
            print(f'| {name} | not measured |||||')
            continue
        print(f'| {name} | {value[0]:.4g} | {value[1]:.2f} | {cost[0]:.2f} | {cost[1]:.2f} | {work_done[1]:.2f} |')
print('\nresident before traffic, MiB:', ', '.join(
    f'{name} {max(row[3] for (_, _, who), row in rows.items() if who == name) / 1024:.1f}' for name in names))
