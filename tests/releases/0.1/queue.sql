BEGIN TRANSACTION;
CREATE TABLE death (
	message VARCHAR(16) NOT NULL, 
	number INTEGER NOT NULL, 
	PRIMARY KEY (message)
);
CREATE TABLE message (
	id VARCHAR(16) NOT NULL, 
	unique_key TEXT, 
	sender TEXT NOT NULL, 
	size BIGINT NOT NULL, 
	received_at FLOAT NOT NULL, 
	door VARCHAR(16) NOT NULL, 
	priority SMALLINT NOT NULL, 
	state SMALLINT NOT NULL, 
	changed_at FLOAT NOT NULL, 
	warn_at FLOAT, 
	reports INTEGER NOT NULL, 
	PRIMARY KEY (id)
)
 WITHOUT ROWID

;
INSERT INTO "message" VALUES('0SGDRXB8P5N1GWQK',NULL,'',0,0.0,'',0,1,1.79534983959183835986e+09,NULL,0);
INSERT INTO "message" VALUES('0SGDRXBAF7HY0CZ2',NULL,'',0,0.0,'',0,1,1.79534983959183835986e+09,NULL,0);
INSERT INTO "message" VALUES('0SGDRXBBA5DJA897',NULL,'x@example.org',258,1.79534983930306553845e+09,'smtp',0,1,1.79534983966425919534e+09,NULL,0);
INSERT INTO "message" VALUES('0SGDRXBBSCHJMMHK',NULL,'x@example.org',272,1.7953498393342680931e+09,'smtp',0,0,0.0,1.7953642393342680931e+09,0);
INSERT INTO "message" VALUES('0SGDRXBFA32RMDHZ','list:lista:0SGDRXBBA5DJA897','lista-bounces@example.org',974,1.79534983956534337995e+09,'list',1,1,1.79534983968662333487e+09,NULL,0);
CREATE TABLE meta (
	name VARCHAR(32) NOT NULL, 
	value TEXT NOT NULL, 
	PRIMARY KEY (name)
);
INSERT INTO "meta" VALUES('generation','1');
CREATE TABLE pause (
	name VARCHAR(255) NOT NULL, 
	since FLOAT NOT NULL, 
	PRIMARY KEY (name)
);
CREATE TABLE recipient (
	id INTEGER NOT NULL, 
	message VARCHAR(16) NOT NULL, 
	address TEXT NOT NULL, 
	original TEXT NOT NULL, 
	orcpt TEXT NOT NULL, 
	notify TEXT NOT NULL, 
	kind VARCHAR(16) NOT NULL, 
	target TEXT NOT NULL, 
	nexthop TEXT NOT NULL, 
	sender TEXT NOT NULL, 
	state SMALLINT NOT NULL, 
	next_try FLOAT NOT NULL, 
	attempts INTEGER NOT NULL, 
	priority SMALLINT NOT NULL, 
	expires_at FLOAT NOT NULL, 
	code INTEGER NOT NULL, 
	enhanced VARCHAR(16) NOT NULL, 
	reply TEXT NOT NULL, 
	place TEXT NOT NULL, 
	lease_boot VARCHAR(32) NOT NULL, 
	lease_until FLOAT NOT NULL, 
	report INTEGER NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "recipient" VALUES(4,'0SGDRXBBSCHJMMHK','somebody@far.example.net','somebody@far.example.net','','','remote','[127.0.0.1]:9','[127.0.0.1]:9','x@example.org',0,1.79535043460277676579e+09,2,0,1.7957818393342680931e+09,451,'4.4.1','127.0.0.1[127.0.0.1]:9: Connection refused','[127.0.0.1]:9','',1.79535343948366069794e+09,0);
CREATE TABLE schema_version (
	name VARCHAR(32) NOT NULL, 
	version INTEGER NOT NULL, 
	PRIMARY KEY (name)
);
INSERT INTO "schema_version" VALUES('queue',1);
CREATE INDEX message_warn ON message (warn_at) WHERE warn_at IS NOT NULL;
CREATE UNIQUE INDEX message_key ON message (unique_key) WHERE unique_key IS NOT NULL;
CREATE INDEX message_open ON message (id) WHERE state = 0;
CREATE INDEX recipient_message ON recipient (message);
CREATE INDEX recipient_due ON recipient (state, kind, nexthop, next_try);
COMMIT;
