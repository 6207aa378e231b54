/* api_files.h - how large a file is. */
#ifndef MADANG_CHAT_API_FILES_H
#define MADANG_CHAT_API_FILES_H

enum { FILE_BYTES_MAX = 20 * 1024 * 1024 };

#endif
