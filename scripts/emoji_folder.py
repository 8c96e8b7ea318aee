"""Sorts the pictures of the npm package `emoji-datasource-google` into one folder a category.

    npm pack emoji-datasource-google
    python scripts/emoji_folder.py emoji-datasource-google-*.tgz emoji
    python -m studies run data-scale --dataset folder:emoji --name data-scale-emoji

The drawings (64 x 64 pixels, by Google, Apache-2.0) lie in their Unicode categories. Those that differ
in skin tone alone are near-copies of each other: `groups.csv` keeps them on one side of a split.
"""

import argparse
import csv
import json
import tarfile
from pathlib import Path

PICTURES = "package/img/google/64/"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("package", type=Path, help="the .tgz that `npm pack` wrote")
    parser.add_argument("folder", type=Path, help="where the categories' folders shall lie")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    with tarfile.open(options.package) as archive:
        listed = archive.extractfile("package/emoji.json")
        assert listed is not None, "the package holds no emoji.json"
        with open(options.folder / "groups.csv", "w", newline="", encoding="utf-8") as file:
            groups = csv.writer(file, lineterminator="\n")
            groups.writerow(["file", "group"])
            for emoji in json.load(listed):
                if emoji["category"] == "Component":  # five bare skin tones
                    continue
                category = emoji["category"].replace(" & ", "-and-").lower()
                (options.folder / category).mkdir(exist_ok=True)
                for variant in [emoji, *emoji.get("skin_variations", {}).values()]:
                    if not variant["has_img_google"]:
                        continue
                    picture = archive.extractfile(PICTURES + variant["image"])
                    assert picture is not None, f"the package holds no {variant['image']}"
                    path = f"{category}/{variant['image']}"
                    (options.folder / path).write_bytes(picture.read())
                    groups.writerow([path, emoji["unified"]])


if __name__ == "__main__":
    main()
