"""Plays a verifier with bugs against an authority, and says what is true of the authority afterwards.

  python attack.py --list
  python attack.py --feed 127.0.0.1:7401 --http http://127.0.0.1:7400 --root-token data/root.token [--case NAME]...

Give it an authority of its own: it makes namespaces, credentials and revocations. README.md says more.
"""

import argparse
import concurrent.futures
import pathlib
import sys
import time
import traceback

import cases_content
import cases_form
import cases_lease
from world import Case, World

CASES = {**cases_lease.CASES, **cases_content.CASES, **cases_form.CASES}


def play(world, name):
    """Plays a case; what it showed, and what failed."""
    began = time.monotonic()
    case = None
    try:
        case = Case(world, name)
        before = [(it["session"], it["epoch"]) for it in world.sessions(id="beside")]
        try:
            CASES[name](case)
        finally:
            case.close()
        case.others_unharmed(before)
        failed = None
    except Exception:
        failed = traceback.format_exc()
    return name, case.told if case else [], failed, time.monotonic() - began


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--feed", help="the authority's feed, HOST:PORT")
    parser.add_argument("--http", help="the authority's API, http://HOST:PORT")
    parser.add_argument("--root-token", type=pathlib.Path, help="the file with the root token")
    parser.add_argument("--beside", help="a sidecar named `beside` that serves every case's namespace, http://HOST:PORT")
    parser.add_argument("--case", action="append", choices=sorted(CASES), metavar="NAME", help="only this one; may be repeated")
    parser.add_argument("--at-once", type=int, default=8, help="how many are played side by side")
    parser.add_argument("--prepare", action="store_true", help="only make the namespaces, and name them")
    parser.add_argument("--list", action="store_true", help="name the cases and what each does")
    arguments = parser.parse_args()
    names = arguments.case or list(CASES)
    if arguments.list:
        for name in names:
            print(f"{name:28} {CASES[name].__doc__.splitlines()[0]}")
        return 0
    for needed in ("feed", "http", "root_token"):
        if getattr(arguments, needed) is None:
            parser.error(f"--{needed.replace('_', '-')} is needed")
    world = World(arguments.feed, arguments.http, arguments.root_token.read_text().strip(), arguments.beside)
    if arguments.prepare:
        print(",".join(Case(world, name).ns for name in names))
        return 0
    failures = 0
    with concurrent.futures.ThreadPoolExecutor(arguments.at_once) as pool:
        for name, told, failed, seconds in pool.map(lambda name: play(world, name), names):
            print(f"{'ok  ' if failed is None else 'FAIL'} {name} ({seconds:.1f} s)", flush=True)
            for one in told:
                print(f"       {one}")
            if failed is not None:
                failures += 1
                print(failed)
    print(f"{len(names)} cases, {failures} failed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
