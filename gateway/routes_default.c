/* The text of gateway/routes.conf, inside the daemon: it needs no file to start. Paths are from the root of the tree,
 * where make runs. */
#include "routes.h"

__asm__(".pushsection .rodata\n"
        ".global ROUTES_DEFAULT\n"
        "ROUTES_DEFAULT:\n"
        ".incbin \"gateway/routes.conf\"\n"
        ".byte 0\n"
        ".popsection\n");
