"""Groups of clips that show the same actor, place or film, read from file names.

A test on clips whose group was trained on measures memory. The official splits of UCF101 and HMDB51
therefore keep the groups of a class whole.
"""

import re

_UCF = re.compile(r"v_.+_(g\d+)_c\d+", re.IGNORECASE)
_HMDB = re.compile(r"(.+)_[fhlu]_(?:cm|nm)_np\d+_(?:ba|bo|fr|le|ri)_(?:bad|goo|med)_\d+\.")


def ucf_group(path: str) -> str | None:
    """Returns the group in a name of UCF101, "g07" for `v_Archery_g07_c01.avi`, or None."""
    match = _UCF.match(path.rpartition("/")[2])
    return match[1].lower() if match else None


def hmdb_group(path: str) -> str | None:
    """Returns film and class in a name of HMDB51, `FILM_wave_f_nm_np1_fr_med_2.avi`, or None."""
    match = _HMDB.match(path.rpartition("/")[2])
    return match[1] if match else None
