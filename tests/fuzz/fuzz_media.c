/* Any bytes as a picture: no read outside, no crash, and sizes within their bounds exactly when the kind is known. */
#include "objstore.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const unsigned char *bytes, size_t length);

int LLVMFuzzerTestOneInput(const unsigned char *bytes, size_t length)
{
    int width = -1, height = -1;
    struct view view = {(const char *)bytes, length};
    const char *any = media_sniff(view, true, &width, &height), *picture = media_sniff(view, false, NULL, NULL);
    if (width < 0 || height < 0 || width > 32767 || height > 32767 || (!any && (width || height)) ||
        (picture && (picture != any || width == 0 || height == 0)))
        abort();
    return 0;
}
