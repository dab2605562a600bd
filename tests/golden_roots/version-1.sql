PRAGMA page_size = 8192;
PRAGMA user_version = 1;
BEGIN TRANSACTION;
CREATE TABLE entry (
    id INTEGER PRIMARY KEY,  -- grows with every put: the order of pairs
    key TEXT NOT NULL,
    account TEXT NOT NULL,
    hidden INTEGER NOT NULL,
    size INTEGER NOT NULL,
    entry TEXT NOT NULL,
    signature TEXT NOT NULL
);
INSERT INTO "entry" VALUES(1,'file-urlmd5:0123','',0,250,'{"format": 1, "key": "file-urlmd5:0123", "sha512": "7fdd80dbdded156323d36c459e5fd133a4d888c227320cfb7042be9feb35d7f07201e535697af914e69d6f46b2a88655c86c2371288052ccd4fa92058b01d3fd", "size": 1, "created": 1, "url": "http://example.com/a"}','c2lnbmF0dXJl');
INSERT INTO "entry" VALUES(2,'file-urlmd5:0123','',0,250,'{"format": 1, "key": "file-urlmd5:0123", "sha512": "9381e9a67aa361751cea90178c094ad6133742163cbd14f146be5c3ee6606d4e8ab4bdd839e7c672baa6eb87e06f59b2d3a68ad0533f2a13ef6c0c5d8769216a", "size": 1, "created": 1, "url": "http://example.com/a"}','c2lnbmF0dXJl');
INSERT INTO "entry" VALUES(3,'page-urlmd5:4567','',0,242,'{"format": 1, "key": "page-urlmd5:4567", "sha512": "cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce47d0d13c5d85f2b0ff8318d2877eec2f63b931bd47417a81a538327af927da3e", "size": 1, "created": 1, "expires": 2000000000}','c2lnbmF0dXJl');
INSERT INTO "entry" VALUES(4,'pypi:a=1','',0,196,'{"sha512": "28562856abbd31d9934d11ff93244864ad8e59a041665e54ebf0723b4f9448b0d0ae6ac42e880c12a22b0206b221d32a31c650b36da5590c3cf72a556ad206bd", "file": "name", "basename": "a-1.tar.gz"}','c2lnbmF0dXJl');
INSERT INTO "entry" VALUES(5,'pypi:a=1','',1,206,'{"sha512": "7d9262319804c0268868085fb921b0255ea1e3ddd1a27f4ba506fb75314bab3c554739b96f40f155ab6871344fd77722cece165e50de2c4ecfbb6b8f7cbf5ecb", "file": "name", "basename": "a-1-py3-none-any.whl"}','c2lnbmF0dXJl');
INSERT INTO "entry" VALUES(6,'other','',0,170,'{"sha512": "7FDD80DBDDED156323D36C459E5FD133A4D888C227320CFB7042BE9FEB35D7F07201E535697AF914E69D6F46B2A88655C86C2371288052CCD4FA92058B01D3FD", "file": "name"}','c2lnbmF0dXJl');
CREATE INDEX entry_key ON entry (key);
COMMIT;
