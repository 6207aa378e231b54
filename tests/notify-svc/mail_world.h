/* mail_world.h - mail servers for tests: a real one (tests/standins/mail_server.py, over TLS with a certificate made
 * here), and one that answers as it is told. */
#ifndef MADANG_TEST_MAIL_WORLD_H
#define MADANG_TEST_MAIL_WORLD_H

#include "child.h"

#include <arpa/inet.h>
#include <cjson/cJSON.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <stdatomic.h>
#include <strings.h>
#include <sys/socket.h>

/* ---- a certificate for localhost, good for an hour ---- */

static char world_dir[] = "/tmp/madang-mail-XXXXXX", world_certificate[64], world_key[64];

static void world_remove(void)
{
    (void)unlink(world_certificate);
    (void)unlink(world_key);
    (void)rmdir(world_dir);
}

static void world_add_extension(X509 *certificate, int name, const char *value)
{
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, name, value);
    X509_add_ext(certificate, extension, -1);
    X509_EXTENSION_free(extension);
}

static void world_make_certificate(void)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *certificate = X509_new();
    X509_NAME *name = X509_get_subject_name(certificate);
    X509_set_version(certificate, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
    X509_gmtime_adj(X509_getm_notBefore(certificate), -60);
    X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"localhost", -1, -1, 0);
    X509_set_issuer_name(certificate, name);
    X509_set_pubkey(certificate, key);
    world_add_extension(certificate, NID_subject_alt_name, "DNS:localhost,IP:127.0.0.1");
    world_add_extension(certificate, NID_basic_constraints, "critical,CA:TRUE");
    X509_sign(certificate, key, EVP_sha256());
    if (!mkdtemp(world_dir)) {
        perror(world_dir);
        exit(1);
    }
    snprintf(world_certificate, sizeof world_certificate, "%s/certificate.pem", world_dir);
    snprintf(world_key, sizeof world_key, "%s/key.pem", world_dir);
    FILE *file = fopen(world_certificate, "w");
    PEM_write_X509(file, certificate);
    fclose(file);
    file = fopen(world_key, "w");
    PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL);
    fclose(file);
    X509_free(certificate);
    EVP_PKEY_free(key);
    (void)atexit(world_remove);
}

/* ---- the real server ---- */

#define WORLD_USER "madang"
#define WORLD_PASSWORD "sesame 참깨"

static struct child world_server;
static int world_starttls, world_smtps, world_plain; /* ports */

static int world_port(const cJSON *ports, const char *name)
{
    return (int)cJSON_GetNumberValue(cJSON_GetObjectItem(ports, name));
}

static void world_start(void)
{
    if (world_server.pid)
        return;
    world_make_certificate();
    /* Debian's own Python has Debian's packages. */
    const char *const argv[] = {"/usr/bin/python3",
                                test_path("tests/standins/mail_server.py"),
                                world_certificate,
                                world_key,
                                WORLD_USER,
                                WORLD_PASSWORD,
                                NULL};
    child_start(&world_server, argv);
    const char *line = child_line(&world_server, CHILD_MS);
    cJSON *ports = line ? cJSON_Parse(line) : NULL;
    if (!ports) {
        puts("the mail server (package python3-aiosmtpd) does not start");
        exit(1);
    }
    world_starttls = world_port(ports, "starttls");
    world_smtps = world_port(ports, "smtps");
    world_plain = world_port(ports, "plain");
    cJSON_Delete(ports);
}

/* The next mail the server took; the caller's to delete. */
static cJSON *world_mail(void)
{
    const char *line = child_line(&world_server, CHILD_MS);
    cJSON *mail = line ? cJSON_Parse(line) : NULL;
    if (!mail) {
        puts("no mail came");
        exit(1);
    }
    return mail;
}

static const char *mail_text(const cJSON *mail, const char *name)
{
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItem(mail, name));
    return text ? text : "(none)";
}

/* ---- the one that answers as it is told ---- */

/* Answers per step of a mail; NULL: as usual. "drop" closes the connection instead, "stall" says nothing more. */
struct odd_script {
    const char *greeting, *mail, *rcpt, *data, *end;
    int after, times; /* mails: the first ones as usual, then so up to the `times`-th, then as usual */
};
struct odd_server {
    int listener, port;
    pthread_t thread;
    struct odd_script script;
    atomic_int connections, accepted, tried; /* mails */
};

static bool odd_say(int connection, const char *answer, const char *usual)
{
    char line[256];
    if (!answer)
        answer = usual;
    if (strcmp(answer, "drop") == 0)
        return false;
    if (strcmp(answer, "stall") == 0) {
        struct pollfd gone = {.fd = connection, .events = POLLIN};
        char ignored[1024];
        while (poll(&gone, 1, -1) >= 0 && read(connection, ignored, sizeof ignored) > 0)
            ;
        return false;
    }
    snprintf(line, sizeof line, "%s\r\n", answer);
    return send(connection, line, strlen(line), MSG_NOSIGNAL) > 0;
}

static const struct odd_script *odd_now(struct odd_server *server)
{
    static const struct odd_script USUAL = {.greeting = NULL};
    const int tried = atomic_load(&server->tried);
    return tried >= server->script.after && tried < server->script.times ? &server->script : &USUAL;
}

static void odd_talk(struct odd_server *server, FILE *in, int connection)
{
    char line[4096];
    const struct odd_script *script = odd_now(server);
    if (!odd_say(connection, script->greeting, "220 odd.example"))
        return;
    for (bool in_data = false; fgets(line, sizeof line, in);) {
        bool good = true;
        if (in_data) {
            if (strcmp(line, ".\r\n") != 0)
                continue;
            in_data = false;
            good = odd_say(connection, script->end, "250 taken");
            if (good && (!script->end || *script->end == '2'))
                atomic_fetch_add(&server->accepted, 1);
        } else if (strncasecmp(line, "EHLO", 4) == 0) {
            good = odd_say(connection, NULL, "250 odd.example");
        } else if (strncasecmp(line, "MAIL", 4) == 0) {
            script = odd_now(server);
            atomic_fetch_add(&server->tried, 1);
            good = odd_say(connection, script->mail, "250 yes");
        } else if (strncasecmp(line, "RCPT", 4) == 0) {
            good = odd_say(connection, script->rcpt, "250 yes");
        } else if (strncasecmp(line, "DATA", 4) == 0) {
            good = odd_say(connection, script->data, "354 go on");
            in_data = !script->data;
        } else {
            good = odd_say(connection, NULL, "250 as you like");
        }
        if (!good)
            return;
    }
}

static void *odd_run(void *payload)
{
    struct odd_server *server = payload;
    for (;;) {
        int connection = accept(server->listener, NULL, NULL);
        if (connection < 0)
            return NULL;
        atomic_fetch_add(&server->connections, 1);
        FILE *in = fdopen(connection, "r");
        odd_talk(server, in, connection);
        fclose(in);
    }
}

/* One connection at a time. */
static void odd_start(struct odd_server *server, struct odd_script script)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    *server = (struct odd_server){.script = script};
    server->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(server->listener, (struct sockaddr *)&address, sizeof address) != 0 || listen(server->listener, 16) != 0 ||
        getsockname(server->listener, (struct sockaddr *)&address, &length) != 0 ||
        pthread_create(&server->thread, NULL, odd_run, server) != 0) {
        perror("odd server");
        exit(1);
    }
    server->port = ntohs(address.sin_port);
}

static void odd_stop(struct odd_server *server)
{
    (void)shutdown(server->listener, SHUT_RDWR);
    (void)pthread_join(server->thread, NULL);
    (void)close(server->listener);
}

#endif
