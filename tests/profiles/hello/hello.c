#include <stdio.h>
#include <zlib.h>

/* Prints a file that it finds by the path it was built for. */
int main(void)
{
    char line[4096];
    FILE *greeting = fopen(PREFIX "/share/greeting", "r");
    if (!greeting || !fgets(line, sizeof line, greeting)) {
        perror(PREFIX "/share/greeting");
        return 1;
    }
    printf("zlib %s: %s", zlibVersion(), line);
    return 0;
}
