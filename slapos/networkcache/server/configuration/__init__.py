"""What the operator says, on the command line or in a file.

options   `Options`: a value, without aiohttp
table     every option by its name: kind of value, help
file      the section ``[server]`` of a file, and what goes before it
"""
