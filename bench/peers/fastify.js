// fastify with a sealed cookie: the session is in the cookie, nothing is asked, nothing can be revoked.
const crypto = require('node:crypto')
const fastify = require('fastify')()

fastify.register(require('@fastify/secure-session'), {
  key: crypto.randomBytes(32),
  cookie: { path: '/', httpOnly: true, sameSite: 'lax' },
})
fastify.get('/sign-in/:n', (request, reply) => {
  const n = request.params.n
  const user = { id: `id-${n}`, username: `user${n}`, email: `user${n}@example.com`, name: `First${n} Last${n}` }
  request.session.set('user', user)
  reply.send({ user })
})
fastify.get('/', (request, reply) => {
  const user = request.session.get('user')
  reply.header('Cache-Control', 'no-store')
  if (user) reply.send({ user })
  else reply.code(401).send({ error: 'not_signed_in' })
})
fastify.listen({ host: '127.0.0.1', port: Number(process.env.PORT) })
