BEGIN TRANSACTION;
CREATE TABLE article (
	list VARCHAR(64) NOT NULL, 
	number INTEGER NOT NULL, 
	"key" VARCHAR(200) NOT NULL, 
	digest VARCHAR(64) NOT NULL, 
	volume VARCHAR(24) NOT NULL, 
	msgid VARCHAR(1000) NOT NULL, 
	refs TEXT NOT NULL, 
	author VARCHAR(300) NOT NULL, 
	subject VARCHAR(1000) NOT NULL, 
	base VARCHAR(1000) NOT NULL, 
	reply BOOLEAN NOT NULL, 
	sent BIGINT NOT NULL, 
	zone INTEGER NOT NULL, 
	folder VARCHAR(40) NOT NULL, 
	"offset" BIGINT NOT NULL, 
	length BIGINT NOT NULL, 
	written BOOLEAN NOT NULL, 
	PRIMARY KEY (list, number)
);
INSERT INTO "article" VALUES('lista',0,'list:lista:0SGDRXBBA5DJA897','6a2bdc5f3d8318b68e15567b3590152e374c4778d68ad4f709fe9e1146f8ee8e','2026-November','<2@example.org>','','x at example.org','2','2',0,1795349839,0,'20261122/6da32fb8',0,294,1);
CREATE TABLE schema_version (
	name VARCHAR(32) NOT NULL, 
	version INTEGER NOT NULL, 
	PRIMARY KEY (name)
);
INSERT INTO "schema_version" VALUES('archive',1);
CREATE TABLE shelf (
	list VARCHAR(64) NOT NULL, 
	public BOOLEAN NOT NULL, 
	next_number INTEGER NOT NULL, 
	mbox_end BIGINT NOT NULL, 
	PRIMARY KEY (list)
);
INSERT INTO "shelf" VALUES('lista',1,1,294);
CREATE TABLE volume (
	list VARCHAR(64) NOT NULL, 
	name VARCHAR(24) NOT NULL, 
	text_end BIGINT NOT NULL, 
	dirty BOOLEAN NOT NULL, 
	PRIMARY KEY (list, name)
);
INSERT INTO "volume" VALUES('lista','2026-November',147,0);
CREATE UNIQUE INDEX article_key ON article (list, "key");
CREATE INDEX article_volume ON article (list, volume, number);
CREATE INDEX article_digest ON article (list, digest);
CREATE INDEX article_folder ON article (list, folder);
COMMIT;
