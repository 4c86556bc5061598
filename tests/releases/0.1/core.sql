BEGIN TRANSACTION;
CREATE TABLE account (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	login VARCHAR(400) NOT NULL, 
	password TEXT NOT NULL, 
	enabled BOOLEAN NOT NULL, 
	quota BIGINT NOT NULL, 
	language VARCHAR(8) NOT NULL, 
	name VARCHAR(255) NOT NULL, 
	home TEXT NOT NULL, 
	maildir TEXT NOT NULL, 
	created_at FLOAT NOT NULL, 
	changed_at FLOAT NOT NULL, 
	generation BIGINT NOT NULL, 
	UNIQUE (login)
);
INSERT INTO "account" VALUES(1,'ana@example.org','$argon2id$v=19$m=1024,t=2,p=1$vQnBGlFRN0/67MiPphQOwA$2GxN8zvS6PMGAlWyxkYCczHxlsJv9FCeD73EB3Gmvkw',1,0,'','','','',1.79534983011685419086e+09,1.79534983011685419086e+09,1);
INSERT INTO "account" VALUES(2,'luis@example.org','$argon2id$v=19$m=1024,t=2,p=1$FS6nShDjGzPl6QFNClcM2A$mFygt/5IxBXS+gQyd/kIVHoBqTu6oLzqi5+Ea+zqaUU',1,0,'','','','',1.7953498301926906109e+09,1.7953498301926906109e+09,2);
INSERT INTO "account" VALUES(3,'rosa@example.org','$argon2id$v=19$m=1024,t=2,p=1$3Ky09BM3Xp5ZKGz3n5HGWA$QG7vUazu5HJB9qnpWZmXcQJ5hpiHZU7InSHurLeQ5Ac',1,0,'','','','',1.79534983023063397407e+09,1.79534983023063397407e+09,3);
CREATE TABLE address (
	address VARCHAR(400) NOT NULL, 
	account_id INTEGER NOT NULL, 
	skeleton VARCHAR(400) NOT NULL, 
	main BOOLEAN NOT NULL, 
	PRIMARY KEY (address), 
	FOREIGN KEY(account_id) REFERENCES account (id) ON DELETE CASCADE
);
INSERT INTO "address" VALUES('ana@example.org',1,'ana@example.org',1);
INSERT INTO "address" VALUES('luis@example.org',2,'luis@example.org',1);
INSERT INTO "address" VALUES('rosa@example.org',3,'rosa@example.org',1);
CREATE TABLE apop (
	account_id INTEGER NOT NULL, 
	secret VARCHAR(200) NOT NULL, 
	set_at FLOAT NOT NULL, 
	PRIMARY KEY (account_id), 
	FOREIGN KEY(account_id) REFERENCES account (id) ON DELETE CASCADE
);
CREATE TABLE audit (
	id INTEGER NOT NULL, 
	at FLOAT NOT NULL, 
	actor VARCHAR(400) NOT NULL, 
	action VARCHAR(50) NOT NULL, 
	subject VARCHAR(400) NOT NULL, 
	detail TEXT NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "audit" VALUES(1,1.79534983011685419086e+09,'test','account.add','ana@example.org','');
INSERT INTO "audit" VALUES(2,1.7953498301926906109e+09,'test','account.add','luis@example.org','');
INSERT INTO "audit" VALUES(3,1.79534983023063397407e+09,'test','account.add','rosa@example.org','');
CREATE TABLE credential (
	id INTEGER NOT NULL, 
	account_id INTEGER NOT NULL, 
	label VARCHAR(100) NOT NULL, 
	secret VARCHAR(64) NOT NULL, 
	scopes VARCHAR(100) NOT NULL, 
	created_at FLOAT NOT NULL, 
	used_at FLOAT NOT NULL, 
	PRIMARY KEY (id), 
	FOREIGN KEY(account_id) REFERENCES account (id) ON DELETE CASCADE, 
	UNIQUE (secret)
);
CREATE TABLE fetch_account (
	account VARCHAR(200) NOT NULL, 
	last_poll FLOAT NOT NULL, 
	last_good FLOAT NOT NULL, 
	messages INTEGER NOT NULL, 
	failures INTEGER NOT NULL, 
	error VARCHAR(1000) NOT NULL, 
	PRIMARY KEY (account)
);
CREATE TABLE fetch_seen (
	account VARCHAR(200) NOT NULL, 
	folder VARCHAR(400) NOT NULL, 
	uidvalidity VARCHAR(40) NOT NULL, 
	uid VARCHAR(200) NOT NULL, 
	state VARCHAR(12) NOT NULL, 
	size BIGINT NOT NULL, 
	head VARCHAR(64) NOT NULL, 
	sha256 VARCHAR(64) NOT NULL, 
	queue_id VARCHAR(32) NOT NULL, 
	tries INTEGER NOT NULL, 
	at FLOAT NOT NULL, 
	PRIMARY KEY (account, folder, uidvalidity, uid)
);
CREATE TABLE generation (
	name VARCHAR(32) NOT NULL, 
	number BIGINT NOT NULL, 
	PRIMARY KEY (name)
);
INSERT INTO "generation" VALUES('accounts',3);
INSERT INTO "generation" VALUES('lists',1);
CREATE TABLE gone (
	login VARCHAR(400) NOT NULL, 
	generation BIGINT NOT NULL, 
	PRIMARY KEY (login)
);
CREATE TABLE list_answer (
	id INTEGER NOT NULL, 
	"key" VARCHAR(320) NOT NULL, 
	day INTEGER NOT NULL, 
	cause VARCHAR(200) NOT NULL, 
	PRIMARY KEY (id), 
	UNIQUE ("key", cause)
);
CREATE TABLE list_ban (
	id INTEGER NOT NULL, 
	list_id INTEGER NOT NULL, 
	pattern VARCHAR(320) NOT NULL, 
	since FLOAT NOT NULL, 
	PRIMARY KEY (id), 
	UNIQUE (list_id, pattern)
);
CREATE TABLE list_bounce (
	id INTEGER NOT NULL, 
	list_id INTEGER NOT NULL, 
	parent VARCHAR(16) NOT NULL, 
	"key" VARCHAR(320) NOT NULL, 
	status VARCHAR(16) NOT NULL, 
	text VARCHAR(500) NOT NULL, 
	at FLOAT NOT NULL, 
	PRIMARY KEY (id), 
	UNIQUE (list_id, parent, "key"), 
	FOREIGN KEY(list_id) REFERENCES mailing_list (id) ON DELETE CASCADE
);
CREATE TABLE list_chore (
	name VARCHAR(32) NOT NULL, 
	done VARCHAR(32) NOT NULL, 
	PRIMARY KEY (name)
);
CREATE TABLE list_grant (
	id INTEGER NOT NULL, 
	session VARCHAR(64) NOT NULL, 
	list_id INTEGER NOT NULL, 
	role VARCHAR(16) NOT NULL, 
	"key" VARCHAR(320) NOT NULL, 
	PRIMARY KEY (id), 
	UNIQUE (session, list_id, role, "key"), 
	FOREIGN KEY(session) REFERENCES list_session (hash) ON DELETE CASCADE
);
CREATE TABLE list_held (
	id INTEGER NOT NULL, 
	list_id INTEGER NOT NULL, 
	parent VARCHAR(16) NOT NULL, 
	sender VARCHAR(320) NOT NULL, 
	author VARCHAR(320) NOT NULL, 
	subject VARCHAR(300) NOT NULL, 
	reason VARCHAR(32) NOT NULL, 
	size INTEGER NOT NULL, 
	held_at FLOAT NOT NULL, 
	PRIMARY KEY (id), 
	UNIQUE (list_id, parent), 
	FOREIGN KEY(list_id) REFERENCES mailing_list (id) ON DELETE CASCADE
);
CREATE TABLE list_member (
	id INTEGER NOT NULL, 
	list_id INTEGER NOT NULL, 
	"key" VARCHAR(320) NOT NULL, 
	address VARCHAR(320) NOT NULL, 
	name VARCHAR(255) NOT NULL, 
	delivery VARCHAR(8) NOT NULL, 
	moderated BOOLEAN NOT NULL, 
	hide BOOLEAN NOT NULL, 
	ack BOOLEAN NOT NULL, 
	notmetoo BOOLEAN NOT NULL, 
	nodupes BOOLEAN NOT NULL, 
	language VARCHAR(8) NOT NULL, 
	joined_at FLOAT NOT NULL, 
	changed_at FLOAT NOT NULL, 
	PRIMARY KEY (id), 
	UNIQUE (list_id, "key"), 
	FOREIGN KEY(list_id) REFERENCES mailing_list (id) ON DELETE CASCADE
);
INSERT INTO "list_member" VALUES(1,1,'ana@example.org','ana@example.org','','enabled',0,0,0,0,1,'',1.7953498303829202652e+09,1.7953498303829202652e+09);
INSERT INTO "list_member" VALUES(2,1,'luis@example.org','luis@example.org','','enabled',0,0,0,0,1,'',1.7953498303829202652e+09,1.7953498303829202652e+09);
CREATE TABLE list_member_password (
	"key" VARCHAR(320) NOT NULL, 
	stored TEXT NOT NULL, 
	PRIMARY KEY ("key")
);
CREATE TABLE list_password (
	id INTEGER NOT NULL, 
	list_id INTEGER NOT NULL, 
	role VARCHAR(16) NOT NULL, 
	stored TEXT NOT NULL, 
	PRIMARY KEY (id), 
	UNIQUE (list_id, role), 
	FOREIGN KEY(list_id) REFERENCES mailing_list (id) ON DELETE CASCADE
);
CREATE TABLE list_pending (
	hash VARCHAR(64) NOT NULL, 
	list_id INTEGER NOT NULL, 
	action VARCHAR(16) NOT NULL, 
	"key" VARCHAR(320) NOT NULL, 
	data TEXT NOT NULL, 
	origin VARCHAR(200) NOT NULL, 
	created_at FLOAT NOT NULL, 
	expires_at FLOAT NOT NULL, 
	PRIMARY KEY (hash), 
	FOREIGN KEY(list_id) REFERENCES mailing_list (id) ON DELETE CASCADE
);
CREATE TABLE list_post (
	id INTEGER NOT NULL, 
	list_id INTEGER NOT NULL, 
	parent VARCHAR(16) NOT NULL, 
	author VARCHAR(320) NOT NULL, 
	verdict VARCHAR(16) NOT NULL, 
	reason VARCHAR(32) NOT NULL, 
	recipients INTEGER NOT NULL, 
	at FLOAT NOT NULL, 
	PRIMARY KEY (id), 
	UNIQUE (list_id, parent), 
	FOREIGN KEY(list_id) REFERENCES mailing_list (id) ON DELETE CASCADE
);
INSERT INTO "list_post" VALUES(1,1,'0SGDRXBBA5DJA897','x@example.org','accept','',2,1.79534983964041090017e+09);
CREATE TABLE list_session (
	hash VARCHAR(64) NOT NULL, 
	token VARCHAR(64) NOT NULL, 
	created_at FLOAT NOT NULL, 
	used_at FLOAT NOT NULL, 
	PRIMARY KEY (hash)
);
CREATE TABLE mailing_list (
	id INTEGER NOT NULL, 
	name VARCHAR(64) NOT NULL, 
	host VARCHAR(255) NOT NULL, 
	options TEXT NOT NULL, 
	created_at FLOAT NOT NULL, 
	PRIMARY KEY (id), 
	UNIQUE (name)
);
INSERT INTO "mailing_list" VALUES(1,'lista','example.org','{"real_name":"Lista","owner":["postmaster@example.org"],"moderator":[],"description":"","info":"","subject_prefix":"[Lista]","from_is_list":"no","anonymous_list":false,"first_strip_reply_to":false,"reply_goes_to_list":"poster","reply_to_address":"","umbrella_list":false,"umbrella_member_suffix":"-owner","send_reminders":false,"welcome_msg":"","send_welcome_msg":true,"goodbye_msg":"","send_goodbye_msg":true,"admin_immed_notify":true,"admin_notify_mchanges":false,"respond_to_post_requests":true,"emergency":false,"new_member_options":["nodupes"],"administrivia":true,"max_message_size":1000,"admin_member_chunksize":30,"host_name":"example.org","include_rfc2369_headers":true,"include_list_post_header":true,"include_sender_header":true,"max_days_to_hold":0,"drop_cc":true,"preferred_language":"en","advertised":true,"private_roster":"members","obscure_addresses":true,"ban_list":[],"default_member_moderation":false,"member_moderation_action":"hold","member_moderation_notice":"","accept_these_nonmembers":[],"hold_these_nonmembers":[],"reject_these_nonmembers":[],"discard_these_nonmembers":[],"generic_nonmember_action":"accept","nonmember_rejection_notice":"","require_explicit_destination":true,"acceptable_aliases":[],"max_num_recipients":10,"archive":true,"archive_private":false,"archive_volume_frequency":"month"}',1.7953498303829202652e+09);
CREATE TABLE schema_version (
	name VARCHAR(32) NOT NULL, 
	version INTEGER NOT NULL, 
	PRIMARY KEY (name)
);
INSERT INTO "schema_version" VALUES('core',1);
CREATE INDEX account_generation ON account (generation);
CREATE INDEX gone_generation ON gone (generation);
CREATE INDEX audit_subject ON audit (subject);
CREATE INDEX audit_at ON audit (at);
CREATE INDEX fetch_seen_size ON fetch_seen (account, folder, size);
CREATE INDEX fetch_seen_head ON fetch_seen (account, folder, head);
CREATE INDEX list_answer_day ON list_answer (day);
CREATE INDEX list_session_used ON list_session (used_at);
CREATE INDEX address_skeleton ON address (skeleton);
CREATE INDEX address_account ON address (account_id);
CREATE INDEX credential_account ON credential (account_id);
CREATE INDEX list_member_key ON list_member ("key");
CREATE INDEX list_pending_key ON list_pending (list_id, action, "key");
CREATE INDEX list_post_at ON list_post (list_id, at);
CREATE INDEX list_grant_list ON list_grant (list_id);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('account',3);
COMMIT;
