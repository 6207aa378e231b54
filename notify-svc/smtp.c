#include "smtp.h"

#include "mem.h"
#include "outcome.h"

#include <curl/curl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/socket.h>

enum {
    SPARE_CONNECTIONS = 8,
    KEEP_SECONDS = 5, /* a server ends an idle connection when it likes: a short time makes that rare */
    CONNECT_MS = 5000,
};

struct smtp {
    const struct email_config *config;
    struct mailbox from;
    bool plain;
    pthread_mutex_t lock;
    CURL *spare[SPARE_CONNECTIONS];
    int spare_count;
};

static pthread_once_t curl_once = PTHREAD_ONCE_INIT;

static void curl_open(void)
{
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        abort();
}

/* ---- settings ---- */

static bool is_this_machine(const char *url)
{
    static const char *const NAMES[] = {"localhost", "127.0.0.1", "[::1]"};
    const char *host = strstr(url, "://");
    for (size_t i = 0; host && i < ARRAY_LENGTH(NAMES); i++) {
        size_t length = strlen(NAMES[i]);
        if (strncasecmp(host + 3, NAMES[i], length) == 0 && (host[3 + length] == 0 || strchr(":/", host[3 + length])))
            return true;
    }
    return false;
}

static bool check_settings(struct smtp *smtp, struct err *err)
{
    const struct email_config *config = smtp->config;
    struct err why = {0};
    bool implicit = strncmp(config->url, "smtps://", 8) == 0;
    smtp->plain = !implicit && strcmp(config->tls, "off") == 0;
    if (!implicit && strncmp(config->url, "smtp://", 7) != 0)
        return err_set(err, &ERR_BAD_INPUT, "SMTP_URL: smtp://host:port or smtps://host:port");
    if (strchr(config->url, '@'))
        return err_set(err, &ERR_BAD_INPUT, "SMTP_URL: the log-in goes into SMTP_USER and SMTP_PASSWORD");
    if (strcmp(config->tls, "required") != 0 && strcmp(config->tls, "off") != 0)
        return err_set(err, &ERR_BAD_INPUT, "SMTP_TLS: required or off");
    if (smtp->plain && *config->user && !is_this_machine(config->url))
        return err_set(err, &ERR_BAD_INPUT, "SMTP_TLS: a password leaves this machine only with TLS");
    if (*config->password && !*config->user)
        return err_set(err, &ERR_BAD_INPUT, "SMTP_USER: a password without a user");
    if (!mime_parse_mailbox(config->from, &smtp->from, &why))
        return err_set(err, &ERR_BAD_INPUT, "SMTP_FROM: %s", why.message);
    return true;
}

struct smtp *smtp_open(const struct email_config *config, struct err *err)
{
    (void)pthread_once(&curl_once, curl_open);
    struct smtp *smtp = MEM_NEW(smtp);
    smtp->config = config;
    (void)pthread_mutex_init(&smtp->lock, NULL);
    if (!check_settings(smtp, err))
        smtp_release(&smtp);
    return smtp;
}

/* ---- connections ---- */

static CURL *handle_take(struct smtp *smtp)
{
    CURL *handle = NULL;
    (void)pthread_mutex_lock(&smtp->lock);
    if (smtp->spare_count)
        handle = smtp->spare[--smtp->spare_count];
    (void)pthread_mutex_unlock(&smtp->lock);
    return handle ? handle : curl_easy_init();
}

/* For good: after a failure an answer may be outstanding, which the next mail would take for its own. Without a socket
 * curl does not wait for an answer to QUIT either. */
static void cut_connection(CURL *handle)
{
    curl_socket_t connection = CURL_SOCKET_BAD;
    if (curl_easy_getinfo(handle, CURLINFO_ACTIVESOCKET, &connection) == CURLE_OK && connection != CURL_SOCKET_BAD)
        (void)shutdown(connection, SHUT_RDWR);
}

static void handle_give(struct smtp *smtp, CURL *handle, bool keep)
{
    curl_easy_reset(handle);
    (void)pthread_mutex_lock(&smtp->lock);
    if (keep && smtp->spare_count < SPARE_CONNECTIONS)
        smtp->spare[smtp->spare_count++] = TAKE(handle);
    (void)pthread_mutex_unlock(&smtp->lock);
    if (handle)
        curl_easy_cleanup(handle);
}

void smtp_release(struct smtp **place)
{
    struct smtp *smtp = *place;
    if (!smtp)
        return;
    while (smtp->spare_count) {
        CURL *handle = smtp->spare[--smtp->spare_count];
        cut_connection(handle);
        curl_easy_cleanup(handle);
    }
    (void)pthread_mutex_destroy(&smtp->lock);
    free(smtp);
    *place = NULL;
}

/* ---- one mail ---- */

struct parcel {
    struct curl_slist *headers, *recipients;
    curl_mime *body;
};

static void parcel_free(struct parcel *parcel)
{
    curl_slist_free_all(parcel->headers);
    curl_slist_free_all(parcel->recipients);
    curl_mime_free(parcel->body);
}

static bool add_line(struct curl_slist **list, const char *line)
{
    struct curl_slist *longer = curl_slist_append(*list, line);
    if (longer)
        *list = longer;
    return longer != NULL;
}

static bool add_headers(const struct smtp *smtp, const struct mail *mail, struct parcel *parcel)
{
    struct str lines[5] = {{0}};
    struct mailbox to = {.name = ""};
    (void)snprintf(to.address, sizeof to.address, "%s", mail->to);
    mime_add_date(&lines[0], mail->at_ms);
    mime_add_message_id(&lines[1], mail->dedupe_id, mail->to, smtp->from.address);
    mime_add_mailbox(&lines[2], "From", &smtp->from);
    mime_add_mailbox(&lines[3], "To", &to);
    mime_add_unstructured(&lines[4], "Subject", mail->subject);
    bool good = true;
    for (size_t i = 0; i < ARRAY_LENGTH(lines); i++) {
        good = good && add_line(&parcel->headers, lines[i].bytes);
        str_free(&lines[i]);
    }
    /* So that nobody's out-of-office note answers us. */
    return good && add_line(&parcel->headers, "Auto-Submitted: auto-generated") &&
           add_line(&parcel->headers,
                    strcmp(mail->locale, "en") == 0 ? "Content-Language: en" : "Content-Language: ko");
}

/* Lines of a mail end in CR LF, also inside base64. */
static bool add_part(curl_mime *alternatives, const char *text, const char *type)
{
    AUTO_STR lines;
    str_init(&lines);
    for (; *text; text++) {
        if (*text == '\n')
            str_add_char(&lines, '\r');
        if (*text != '\r')
            str_add_char(&lines, *text);
    }
    curl_mimepart *part = curl_mime_addpart(alternatives);
    return part && curl_mime_data(part, lines.bytes, lines.length) == CURLE_OK &&
           curl_mime_type(part, type) == CURLE_OK && curl_mime_encoder(part, "base64") == CURLE_OK;
}

/* The plainest first, the best last: readers show the last one they understand. */
static bool add_body(CURL *handle, const struct mail *mail, struct parcel *parcel)
{
    parcel->body = curl_mime_init(handle);
    curl_mime *alternatives = parcel->body ? curl_mime_init(handle) : NULL;
    curl_mimepart *whole = alternatives ? curl_mime_addpart(parcel->body) : NULL;
    if (!whole || curl_mime_subparts(whole, alternatives) != CURLE_OK) {
        curl_mime_free(alternatives);
        return false;
    }
    return curl_mime_type(whole, "multipart/alternative") == CURLE_OK &&
           add_part(alternatives, mail->text, "text/plain; charset=utf-8") &&
           (!mail->html || add_part(alternatives, mail->html, "text/html; charset=utf-8"));
}

static size_t ignore_reply(char *bytes, size_t size, size_t count, void *payload)
{
    (void)bytes;
    (void)payload;
    return size * count;
}

static void set_options(const struct smtp *smtp, CURL *handle, const struct parcel *parcel, const char *from)
{
    const struct email_config *config = smtp->config;
    long timeout_ms = (long)config->timeout_ms;
    curl_easy_setopt(handle, CURLOPT_URL, config->url);
    curl_easy_setopt(handle, CURLOPT_PROTOCOLS_STR, "smtp,smtps");
    curl_easy_setopt(handle, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(handle, CURLOPT_PROXY, "");
    curl_easy_setopt(handle, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_MS < timeout_ms ? (long)CONNECT_MS : timeout_ms);
    curl_easy_setopt(handle, CURLOPT_TIMEOUT_MS, timeout_ms);
    /* Also for the answer to QUIT, which comes on top of the whole mail's time-out. */
    curl_easy_setopt(handle, CURLOPT_SERVER_RESPONSE_TIMEOUT, (timeout_ms + 999) / 1000);
    curl_easy_setopt(handle, CURLOPT_MAXCONNECTS, 1L);
    curl_easy_setopt(handle, CURLOPT_MAXAGE_CONN, (long)KEEP_SECONDS);
    curl_easy_setopt(handle, CURLOPT_USE_SSL, smtp->plain ? (long)CURLUSESSL_NONE : (long)CURLUSESSL_ALL);
    curl_easy_setopt(handle, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    curl_easy_setopt(handle, CURLOPT_SSL_VERIFYPEER, 1L);
    curl_easy_setopt(handle, CURLOPT_SSL_VERIFYHOST, 2L);
    if (*config->ca_file)
        curl_easy_setopt(handle, CURLOPT_CAINFO, config->ca_file);
    if (*config->user) {
        curl_easy_setopt(handle, CURLOPT_USERNAME, config->user);
        curl_easy_setopt(handle, CURLOPT_PASSWORD, config->password);
    }
    curl_easy_setopt(handle, CURLOPT_MAIL_FROM, from);
    curl_easy_setopt(handle, CURLOPT_MAIL_RCPT, parcel->recipients);
    curl_easy_setopt(handle, CURLOPT_HTTPHEADER, parcel->headers);
    curl_easy_setopt(handle, CURLOPT_MIMEPOST, parcel->body);
    curl_easy_setopt(handle, CURLOPT_WRITEFUNCTION, ignore_reply);
}

/* What a server refuses because of us, not because of this mail: a log-in or TLS that is asked for. */
static bool is_our_fault(CURLcode code, long reply)
{
    return code == CURLE_LOGIN_DENIED || code == CURLE_USE_SSL_FAILED || code == CURLE_PEER_FAILED_VERIFICATION ||
           reply == 530 || reply == 534 || reply == 535 || reply == 538;
}

/* curl's own words can carry the server's, which can carry the recipient: only its general ones are told. */
static void judge(CURLcode code, long reply, struct outcome *outcome)
{
    if (code == CURLE_OK)
        outcome_set(outcome, OUTCOME_SENT, "reply %ld", reply);
    else if (reply >= 500 && reply < 600 && !is_our_fault(code, reply))
        outcome_set(outcome, OUTCOME_DEAD, "the mail server refused it: reply %ld", reply);
    else
        outcome_set(outcome, OUTCOME_RETRY, "%s, last reply %ld", curl_easy_strerror(code), reply);
}

/* True when a kept connection was dead already, before this mail: then a new one is worth a try at once. */
static bool was_stale(CURL *handle, CURLcode code, long reply)
{
    long connections = 0;
    (void)curl_easy_getinfo(handle, CURLINFO_NUM_CONNECTS, &connections);
    return code != CURLE_OK && code != CURLE_OPERATION_TIMEDOUT && connections == 0 && (reply == 0 || reply == 421);
}

static void perform(struct smtp *smtp, CURL *handle, const struct parcel *parcel, struct outcome *outcome)
{
    char from[sizeof smtp->from.address + 2];
    long reply = 0;
    (void)snprintf(from, sizeof from, "<%s>", smtp->from.address);
    set_options(smtp, handle, parcel, from);
    CURLcode code = curl_easy_perform(handle);
    (void)curl_easy_getinfo(handle, CURLINFO_RESPONSE_CODE, &reply);
    if (was_stale(handle, code, reply)) {
        cut_connection(handle);
        curl_easy_setopt(handle, CURLOPT_FRESH_CONNECT, 1L);
        code = curl_easy_perform(handle);
        (void)curl_easy_getinfo(handle, CURLINFO_RESPONSE_CODE, &reply);
    }
    if (code != CURLE_OK)
        cut_connection(handle);
    judge(code, reply, outcome);
}

void smtp_send(struct smtp *smtp, const struct mail *mail, struct outcome *outcome)
{
    if (!mime_is_address(mail->to)) {
        outcome_set(outcome, OUTCOME_DEAD, "the address can't be one of a mail");
        return;
    }
    if (!mime_is_line(mail->subject)) {
        outcome_set(outcome, OUTCOME_DEAD, "the subject is not one line of text");
        return;
    }
    struct parcel parcel = {0};
    char recipient[300];
    (void)snprintf(recipient, sizeof recipient, "<%s>", mail->to);
    CURL *handle = handle_take(smtp);
    if (handle && add_line(&parcel.recipients, recipient) && add_headers(smtp, mail, &parcel) &&
        add_body(handle, mail, &parcel))
        perform(smtp, handle, &parcel, outcome);
    else
        outcome_set(outcome, OUTCOME_RETRY, "out of memory");
    parcel_free(&parcel);
    if (handle)
        handle_give(smtp, handle, outcome->kind == OUTCOME_SENT);
}
