#!/bin/sh
# Write the checksums of the Python files below package/ to sums.txt, and say on descriptor 3 how far it is.
set -eu
total=$(find package/ -name '*.py' | wc -l)
done=0
find package/ -name '*.py' | sort | while IFS= read -r file; do
    cksum "$file"
    done=$((done + 1))
    if [ $((done % 10)) -eq 0 ]; then echo "progress $done/$total ${file##*/}" >&3; fi
done > sums.txt
echo "$total files"
