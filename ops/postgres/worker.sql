-- The workers' user, made once, while the image sets the database up. It owns nothing and has what
-- sql/migrations/0009_privileges.sql grants to its role.
\set password `cat /run/secrets/worker_password`
CREATE ROLE millrace_app NOLOGIN;
CREATE ROLE millrace_worker LOGIN PASSWORD :'password' IN ROLE millrace_app;
