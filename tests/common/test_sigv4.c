/* The examples that AWS published with the description of Signature Version 4 for S3. */
#include "crypto.h"
#include "sigv4.h"
#include "test.h"

#define EMPTY_HASH "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define HOST "examplebucket.s3.amazonaws.com"
#define CREDENTIAL "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,"

static const struct sigv4 EXAMPLE = {
    .access_key = "AKIAIOSFODNN7EXAMPLE",
    .secret_key = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    .region = "us-east-1",
    .service = "s3",
    .at_s = 1369353600, /* 2013-05-24T00:00:00Z */
};

static void expect_authorization(const struct sigv4_request *request, const char *expected)
{
    AUTO_STR value;
    str_init(&value);
    sigv4_authorization(&EXAMPLE, request, &value);
    EXPECT_TEXT(expected, value.bytes);
}

TEST(the_date_is_basic_iso_8601, "P-11")
{
    char text[17];
    sigv4_date(EXAMPLE.at_s, text);
    EXPECT_TEXT("20130524T000000Z", text);
}

TEST(get_object_with_a_range, "P-11")
{
    const struct sigv4_pair headers[] = {{"Host", HOST},
                                         {"Range", "bytes=0-9"},
                                         {"x-amz-content-sha256", EMPTY_HASH},
                                         {"x-amz-date", "20130524T000000Z"},
                                         {0}};
    const struct sigv4_request request = {
        .method = "GET", .path = "/test.txt", .headers = headers, .payload_hash = EMPTY_HASH};
    AUTO_STR canonical;
    str_init(&canonical);
    sigv4_canonical_request(&request, &canonical);
    EXPECT_TEXT("GET\n/test.txt\n\nhost:" HOST "\nrange:bytes=0-9\nx-amz-content-sha256:" EMPTY_HASH
                "\nx-amz-date:20130524T000000Z\n\nhost;range;x-amz-content-sha256;x-amz-date\n" EMPTY_HASH,
                canonical.bytes);
    char hash[SHA256_HEX_BYTES];
    crypto_sha256_hex(canonical.bytes, canonical.length, hash);
    EXPECT_TEXT("7344ae5b7ee6c3e7e6b0fe0640412a37625d1fbfff95c48bbb2dc43964946972", hash);
    expect_authorization(&request,
                         CREDENTIAL "SignedHeaders=host;range;x-amz-content-sha256;x-amz-date,"
                                    "Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41");
}

TEST(put_object_with_a_sign_in_its_name, "P-11")
{
    char hash[SHA256_HEX_BYTES];
    crypto_sha256_hex("Welcome to Amazon S3.", 21, hash);
    const struct sigv4_pair headers[] = {{"x-amz-storage-class", "REDUCED_REDUNDANCY"},
                                         {"Date", "Fri, 24 May 2013 00:00:00 GMT"},
                                         {"Host", HOST},
                                         {"x-amz-date", "20130524T000000Z"},
                                         {"x-amz-content-sha256", hash},
                                         {0}};
    expect_authorization(
        &(struct sigv4_request){.method = "PUT", .path = "/test$file.text", .headers = headers, .payload_hash = hash},
        CREDENTIAL "SignedHeaders=date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class,"
                   "Signature=98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd");
}

static const struct sigv4_pair BUCKET_HEADERS[] = {
    {"Host", HOST}, {"x-amz-date", "20130524T000000Z"}, {"x-amz-content-sha256", EMPTY_HASH}, {0}};

TEST(get_bucket_lifecycle_has_a_parameter_without_value, "P-11")
{
    const struct sigv4_pair query[] = {{"lifecycle", ""}, {0}};
    expect_authorization(
        &(struct sigv4_request){
            .method = "GET", .path = "/", .query = query, .headers = BUCKET_HEADERS, .payload_hash = EMPTY_HASH},
        CREDENTIAL "SignedHeaders=host;x-amz-content-sha256;x-amz-date,"
                   "Signature=fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543");
}

TEST(list_objects_sorts_the_query, "P-11")
{
    const struct sigv4_pair query[] = {{"prefix", "J"}, {"max-keys", "2"}, {0}};
    expect_authorization(
        &(struct sigv4_request){
            .method = "GET", .path = "/", .query = query, .headers = BUCKET_HEADERS, .payload_hash = EMPTY_HASH},
        CREDENTIAL "SignedHeaders=host;x-amz-content-sha256;x-amz-date,"
                   "Signature=34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7");
}

TEST(presigned_get, "P-11")
{
    const struct sigv4_pair headers[] = {{"host", HOST}, {0}};
    AUTO_STR link;
    str_init(&link);
    sigv4_presign(&EXAMPLE, &(struct sigv4_request){.method = "GET", .path = "/test.txt", .headers = headers}, 86400,
                  &link);
    EXPECT_TEXT("/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256"
                "&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request"
                "&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host"
                "&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404",
                link.bytes);
}

TEST(values_are_trimmed_and_names_encoded_once, "P-11")
{
    const struct sigv4_pair headers[] = {{"Host", HOST}, {"X-Amz-Meta-Note", "  a   b  "}, {0}};
    const struct sigv4_pair query[] = {{"b", "2"}, {"a key", "/+ é"}, {"b", "1"}, {"B", ""}, {0}};
    const struct sigv4_request request = {
        .method = "GET", .path = "/a b/%41/c~.txt", .query = query, .headers = headers, .payload_hash = EMPTY_HASH};
    AUTO_STR canonical;
    str_init(&canonical);
    sigv4_canonical_request(&request, &canonical);
    EXPECT_TEXT("GET\n/a%20b/%2541/c~.txt\nB=&a%20key=%2F%2B%20%C3%A9&b=1&b=2\nhost:" HOST
                "\nx-amz-meta-note:a b\n\nhost;x-amz-meta-note\n" EMPTY_HASH,
                canonical.bytes);
}
