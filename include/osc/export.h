/* OSC_API marks what the shared library shows; everything else in it is hidden. */
#ifndef OSC_EXPORT_H
#define OSC_EXPORT_H

#if defined(_WIN32)
#define OSC_API
#else
#define OSC_API __attribute__((visibility("default")))
#endif

#endif
