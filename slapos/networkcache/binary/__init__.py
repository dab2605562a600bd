"""Software releases as archives: a built tree becomes one, and one becomes a tree again,
under another folder and on another host, if it can run there.

`releases` decides what is done for a node.

========================  ==========================================================
`node`, `installed`       the folders of this computer; what there is in them
`ownership`, `lock`       who may do what there, and when
`work_folders`            where something is made that is not to be seen half
------------------------  ----------------------------------------------------------
`building`                run buildout
`packing`, `archive`      what is published: a tree, read once
`tar_writing`             its bytes
`naming`                  where files name the folders that they were built for:
`prefixes`, `compressed`  how, and where nobody can change that
`survey`, `loading`       what they need of a host
`builds`, `requirements`  what is signed
`manifest`                what is in the archive besides: where to change what
`shared_parts`            parts of many releases
`walking`                 a tree on disk, always in the same order
------------------------  ----------------------------------------------------------
`candidates`              which build is taken: `compatibility` with this host, and
                          whether it can be moved to its `destination`
`installation`            from an archive to its place
`unpacked`, `relocation`  on the way there: what is on disk, and gets its new names
`incumbent`               the releases of slapos.core
========================  ==========================================================
"""
