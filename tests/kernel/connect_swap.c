/* connect(2) while another thread swaps the address, and the socket of that number.
 * Arguments: allowed path, forbidden path, tries, "address" or "descriptor". */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define NUMBER 100

static struct sockaddr_un address, allowed, forbidden;
static volatile int first = -1, second = -1;
static int descriptors;

/* for about as long as it takes to look at a call, or to carry it out */
static void rest(void)
{
    for (volatile int i = 0; i < 1000; i++)
        ;
    __asm__ volatile("" ::: "memory"); /* the compiler is to write both */
}

static void *swap(void *unused)
{
    for (;;) {
        if (descriptors)
            dup2(second, NUMBER);
        memcpy(&address, &forbidden, sizeof(address));
        rest();
        if (descriptors)
            dup2(first, NUMBER);
        memcpy(&address, &allowed, sizeof(address));
        rest();
    }
    return unused;
}

int main(int argc, char **argv)
{
    pthread_t thread;
    int done = 0, tries = argc > 4 ? atoi(argv[3]) : 0;

    descriptors = tries && strcmp(argv[4], "descriptor") == 0;
    forbidden.sun_family = AF_UNIX;
    strcpy(forbidden.sun_path, argv[2]);
    if (descriptors) {
        struct sockaddr_in inet = {.sin_family = AF_INET, .sin_port = htons(9)};
        inet.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        memcpy(&allowed, &inet, sizeof(inet));
    } else {
        allowed.sun_family = AF_UNIX;
        strcpy(allowed.sun_path, argv[1]);
    }
    pthread_create(&thread, NULL, swap, NULL);
    for (int i = 0; i < tries; i++) {
        int one = socket(descriptors ? AF_INET : AF_UNIX, SOCK_STREAM, 0);
        int two = socket(AF_UNIX, SOCK_STREAM, 0);
        first = one;
        second = two;
        if (!descriptors)
            dup2(one, NUMBER);
        done += connect(NUMBER, (struct sockaddr *)&address, sizeof(address)) == 0;
        close(one);
        close(two);
    }
    printf("%d tries\n", tries);
    return done < 0;
}
