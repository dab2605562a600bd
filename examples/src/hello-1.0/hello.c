#include <stdio.h>

int main(void)
{
    puts("hello, compiled from " VERSION);
    return 0;
}
